"""Tiny networks of the real classes with seeded random weights, for roles that are not trained and for tests.

They take 64 px images and share the nano VAE's geometry: latents of 8 x 16 x 16. No weights are read from disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from diffusers import ControlNetModel, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from toffee_pipeline.models.networks.dino_projection import add_dino_projection
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.tiny.architectures import (
    DINO_DIM,
    LATENT_CHANNELS,
    PATCH_PX,
    REFINER_POOLED_DIM,
    SIZE_PX,
    TOKEN_MAP_CHANNELS,
    build_clip_config,
    build_dino,
    build_refiner_unet,
    build_text_config,
    build_toffeenet_base_unet,
    build_vae,
    build_view_generator_unet,
)
from toffee_pipeline.models.tiny.detector import build_detector
from toffee_pipeline.models.tiny.perception import build_depth, build_segmenter
from toffee_pipeline.models.tokenizers import clip_tokenizer, nano_tokenizer

if TYPE_CHECKING:
    import open_clip

SDXL_TEXT_DIM = 16
SDXL_CHANNELS = (16, 32, 32)
SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}


def build(network: str) -> Any:
    """The network of this name, one of `BUILDERS`: float32, eval mode, the same weights in every process.

    Raises KeyError for another name.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(network.encode()))
        model = BUILDERS[network]()
    return model.eval() if isinstance(model, nn.Module) else model


def epsilon_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule for noise prediction."""
    return DDIMScheduler(**SCHEDULER, set_alpha_to_one=False, steps_offset=1)


def velocity_scheduler() -> DDIMScheduler:
    """The same noise schedule for v-prediction, starting from t = T."""
    return DDIMScheduler(**SCHEDULER, prediction_type="v_prediction", timestep_spacing="trailing")


def build_sdxl() -> StableDiffusionXLPipeline:
    """SDXL's text-to-image pipeline with all its parts."""
    return StableDiffusionXLPipeline(
        vae=build_vae().eval(),
        text_encoder=CLIPTextModel(_text_config()).eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(projection_dim=REFINER_POOLED_DIM)).eval(),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=UNet2DConditionModel(
            **_sdxl_unet_options(),
            sample_size=SIZE_PX // PATCH_PX,
            out_channels=LATENT_CHANNELS,
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            **_text_time(),
        ).eval(),
        scheduler=epsilon_scheduler(),
        add_watermarker=False,
    )


def build_controlnet() -> ControlNetModel:
    """SDXL's ControlNet; three condition widths make its factor 4, the VAE's."""
    controlnet = ControlNetModel(
        **_sdxl_unet_options(), conditioning_embedding_out_channels=(8, 16, 16), **_text_time()
    )
    for parameter in controlnet.parameters():
        if not parameter.any():  # zero convolutions, through which the condition would not show
            nn.init.normal_(parameter, std=0.2)
    return controlnet


def build_sd2() -> tuple[CLIPTextModel, CLIPTokenizer]:
    """Stable Diffusion 2's text encoder, and the tokenizer of the small world."""
    tokenizer = nano_tokenizer()
    return CLIPTextModel(build_text_config(len(tokenizer))).eval(), tokenizer


def build_view_generator() -> UNet2DConditionModel:
    """The UNet of `ViewGeneratorNetwork`, with its DINO projection."""
    unet = build_view_generator_unet()
    add_dino_projection(unet, DINO_DIM)
    return unet


def build_toffeenet() -> ToffeeNetNetwork:
    """ToffeeNet at the start of its training."""
    return ToffeeNetNetwork.from_base(build_toffeenet_base_unet(), DINO_DIM, velocity_scheduler(), PATCH_PX)


def build_refiner() -> RefinerNetwork:
    """The Refiner with a token map, as the trained one of nano has it."""
    token_map = nn.Linear(DINO_DIM, TOKEN_MAP_CHANNELS)
    return RefinerNetwork(build_refiner_unet(), token_map, velocity_scheduler(), PATCH_PX)


def build_clip() -> open_clip.CLIP:
    """open_clip's model, over the vocabulary that open_clip ships."""
    import open_clip

    return open_clip.CLIP(**build_clip_config(vocab_size=open_clip.SimpleTokenizer().vocab_size))


def _text_config(**options: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=SDXL_TEXT_DIM,
        intermediate_size=2 * SDXL_TEXT_DIM,
        num_attention_heads=2,
        num_hidden_layers=2,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
        **options,
    )


def _sdxl_unet_options() -> dict[str, Any]:
    return {
        "in_channels": LATENT_CHANNELS,
        "layers_per_block": 1,
        "block_out_channels": SDXL_CHANNELS,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "cross_attention_dim": 2 * SDXL_TEXT_DIM,
        "attention_head_dim": (1, 2, 2),
        "norm_num_groups": 8,
    }


def _text_time() -> dict[str, Any]:
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + REFINER_POOLED_DIM,
    }


BUILDERS: dict[str, Callable[[], Any]] = {
    "sdxl": build_sdxl,
    "controlnet": build_controlnet,
    "depth": build_depth,
    "detector": build_detector,
    "segmenter": build_segmenter,
    "sd2": build_sd2,
    "view_generator": build_view_generator,
    "toffeenet": build_toffeenet,
    "refiner": build_refiner,
    "vae": build_vae,
    "dino": build_dino,
    "clip": build_clip,
}
