"""Figures that others published, to stand beside one's own: of DreamBench, with DINO ViT-S/16 and CLIP ViT-B/32."""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "Toffee, Table 1 (arxiv.org/abs/2406.09305); each method's figures are from its own paper"
REAL = {"dino": 0.774, "clip_i": 0.885, "seg_dino": 0.854, "seg_clip_i": 0.927}
"""Real pictures against real pictures of the same subject (Toffee, Tables 1 and 2)."""
TOLERANCE = 0.005
"""Of the self-test."""


class Published(NamedTuple):
    """A row of Table 1. tuning_free: at test time; None of the real pictures."""

    method: str
    backbone: str
    tuning_free: bool | None
    dino: float
    clip_i: float
    clip_t: float | None


TABLE_1 = (
    Published("Real images", "", None, REAL["dino"], REAL["clip_i"], None),
    Published("DreamBooth", "Imagen", False, 0.696, 0.812, 0.306),
    Published("DreamBooth", "Stable Diffusion", False, 0.668, 0.803, 0.305),
    Published("Textual Inversion", "Stable Diffusion", False, 0.569, 0.780, 0.255),
    Published("CustomDiffusion", "Stable Diffusion", False, 0.643, 0.790, 0.305),
    Published("BLIP-Diffusion", "Stable Diffusion", False, 0.670, 0.805, 0.302),
    Published("Re-Imagen", "Imagen", True, 0.600, 0.740, 0.270),
    Published("SuTI", "Imagen", True, 0.741, 0.819, 0.304),
    Published("BLIP-Diffusion", "Stable Diffusion", True, 0.594, 0.779, 0.300),
    Published("ELITE", "Stable Diffusion", True, 0.621, 0.771, 0.293),
    Published("Subject-Diffusion", "Stable Diffusion", True, 0.711, 0.787, 0.293),
    Published("Kosmos-G", "Stable Diffusion", True, 0.694, 0.847, 0.287),
    Published("CAFE", "Stable Diffusion", True, 0.715, 0.827, 0.294),
    Published("ToffeeNet", "Stable Diffusion", True, 0.728, 0.817, 0.306),
)
