"""Licences of the weights that the profiles name, as their cards on the Hugging Face hub state them (2026-11)."""

from __future__ import annotations

from toffee_pipeline.config.base import ModelSpec

OF_HUB_ID = {
    "stabilityai/stable-diffusion-xl-base-1.0": "openrail++",
    "diffusers/controlnet-depth-sdxl-1.0": "openrail++",
    "depth-anything/Depth-Anything-V2-Large-hf": "cc-by-nc-4.0",
    "depth-anything/Depth-Anything-V2-Small-hf": "apache-2.0",
    "facebook/dinov2-giant": "apache-2.0",
    "facebook/dino-vits16": "apache-2.0",
    "IDEA-Research/grounding-dino-base": "apache-2.0",
    "timm/vit_base_patch32_clip_224.openai": "apache-2.0",
}


def license_of(spec: ModelSpec) -> str:
    """In words, for a card."""
    if spec.weights != "pretrained":
        return "apache-2.0 (part of this project)"
    if spec.path is not None:
        return "not known here: a local file"
    assert spec.id is not None  # ModelSpec sees to it
    return OF_HUB_ID.get(spec.id, "not known here: see its card")
