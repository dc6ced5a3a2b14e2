"""The published networks with random weights, as the roles ask for them: what a run costs can be measured before
anything is downloaded or trained."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from torch import nn
from transformers import (
    BertTokenizer,
    DepthAnythingForDepthEstimation,
    DPTImageProcessor,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
)

from toffee_pipeline.models.networks import published
from toffee_pipeline.models.networks.dino_projection import add_dino_projection
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.tensors import IMAGENET_MEAN, IMAGENET_STD
from toffee_pipeline.models.tiny.untrained import epsilon_scheduler, velocity_scheduler
from toffee_pipeline.models.tokenizers import clip_tokenizer

VIEW_SIDE = 64
"""Latents of the View Generator: it is trained at 512 px."""


def build(network: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The network of this name, one of `BUILDERS` (or its tuple with a processor, or its pipeline): seeded random
    weights, in eval mode. Made on the device and in its dtype, so that nothing larger than itself is ever in memory.

    Raises KeyError for another name.
    """
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(zlib.crc32(network.encode()))
        torch.set_default_dtype(dtype)
        try:
            with device:
                built = BUILDERS[network]()
        finally:
            torch.set_default_dtype(before)
    for part in built if isinstance(built, tuple) else (built,):
        if isinstance(part, nn.Module):
            part.eval()
    return built


def sdxl() -> StableDiffusionXLPipeline:
    """SDXL's text-to-image pipeline with all its parts."""
    return StableDiffusionXLPipeline(
        vae=published.sdxl_vae().eval(),
        text_encoder=published.sdxl_text_encoder().eval(),
        text_encoder_2=published.sdxl_text_encoder_2().eval(),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=published.sdxl_unet().eval(),
        scheduler=epsilon_scheduler(),
        add_watermarker=False,
    )


def refiner() -> RefinerNetwork:
    """SDXL's UNet on the tokens of DINOv2-Giant, as the paper's Refiner."""
    return RefinerNetwork.from_base(published.sdxl_unet(), published.DINOV2_GIANT_DIM, velocity_scheduler())


def view_generator() -> UNet2DConditionModel:
    """The UNet of `ViewGeneratorNetwork`, of Stable Diffusion 2 on the tokens of DINOv2-Giant."""
    unet = published.sd2_unet()
    unet.register_to_config(sample_size=VIEW_SIDE)
    add_dino_projection(unet, published.DINOV2_GIANT_DIM)
    return unet


def depth() -> tuple[DepthAnythingForDepthEstimation, DPTImageProcessor]:
    """Depth Anything, and its processor, which gives it 518 px."""
    processor = DPTImageProcessor(
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )
    return published.depth_anything_large(), processor


def detector() -> tuple[GroundingDinoForObjectDetection, GroundingDinoProcessor]:
    """Grounding DINO, and its processor. The tokenizer knows no word: each is one unknown token, about as many as
    BERT's own gives for a class's name."""
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    vocabulary = {special.get(number, f"[unused{number}]"): number for number in range(30522)}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(), BertTokenizer(vocab=vocabulary))
    return published.grounding_dino_base(), processor


BUILDERS: dict[str, Callable[[], Any]] = {
    "sdxl": sdxl,
    "controlnet": published.sdxl_controlnet,
    "depth": depth,
    "detector": detector,
    "refiner": refiner,
    "vae": published.sdxl_vae,
    "view_generator": view_generator,
    "dino": published.dinov2_giant,
    "filter_dino": published.dino_vits16,
}
"""By the names of `models.roles`; Segment Anything and CLIP are built by their own libraries."""
