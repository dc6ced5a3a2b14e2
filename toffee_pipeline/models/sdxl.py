"""SDXL's parts, loaded once per process and shared by subject synthesis and drafts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.loading import build_random, build_untrained, dtype_of
from toffee_pipeline.models.weights import hub_options, resolve


@lru_cache(maxsize=1)
def load_sdxl(spec: ModelSpec, device: torch.device) -> tuple[dict[str, Any], Autoencoder]:
    """The stock pipeline's components on the device, and its VAE, which decodes in float32."""
    if spec.weights == "untrained":
        pipeline = build_untrained("sdxl")
    elif spec.weights == "random":
        pipeline = build_random("sdxl", device, dtype_of(spec))
    elif spec.weights == "nano":
        from toffee_pipeline.models.tiny.sdxl import load_sdxl as load_nano_sdxl

        pipeline = load_nano_sdxl()
    else:
        pipeline = StableDiffusionXLPipeline.from_pretrained(
            resolve(spec, "sdxl"), dtype=dtype_of(spec), add_watermarker=False, **hub_options(spec)
        )
    pipeline.to(device)
    return pipeline.components, Autoencoder(pipeline.vae)
