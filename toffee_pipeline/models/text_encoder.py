"""The text encoder of Stable Diffusion's kind that stands beside a trained ToffeeNet."""

from __future__ import annotations

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.tiny.text_encoder import build_text_encoder
from toffee_pipeline.models.weights import config_options, load_pretrained, resolve


def load_text_encoder(base: ModelSpec, device: torch.device) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """The base's own, from a pretrained pipeline's folder; nano's of a base of any other weights."""
    if base.weights != "pretrained":
        text_encoder, tokenizer = build_text_encoder()
        return text_encoder.to(device), tokenizer
    text_encoder = load_model(CLIPTextModel, base, "base", device, "text_encoder")
    options = config_options(base)
    return text_encoder, load_pretrained(CLIPTokenizer, resolve(base, "base"), subfolder="tokenizer", **options)
