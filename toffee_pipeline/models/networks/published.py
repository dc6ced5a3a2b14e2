"""The published networks at their real sizes, with random weights: for memory and cost figures, not for images.

Each function builds on torch's default device; under `with torch.device("meta")` it takes no memory and no time.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    SwinConfig,
    ViTConfig,
    ViTModel,
)

DINOV2_GIANT_DIM = 1536
SDXL_SCALING_FACTOR = 0.13025


def sdxl_unet() -> UNet2DConditionModel:
    """SDXL's base UNet, 2,567.5 M parameters: latents (b, 4, 128, 128) under text (b, 77, 2048)."""
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + 1280,
    )


def sdxl_controlnet() -> ControlNetModel:
    """The full-size ControlNet of `sdxl_unet`, 1,251.0 M parameters: conditions (b, 3, 1024, 1024)."""
    with torch.device("meta"):
        unet = sdxl_unet()
    return ControlNetModel.from_unet(unet, load_weights_from_unet=False)


def sdxl_text_encoder() -> CLIPTextModel:
    """SDXL's first text encoder, that of CLIP ViT-L/14, 123.1 M parameters."""
    return CLIPTextModel(_text_config(768, 12, "quick_gelu"))


def sdxl_text_encoder_2() -> CLIPTextModelWithProjection:
    """SDXL's second text encoder, that of OpenCLIP ViT-bigG/14, 694.7 M parameters."""
    return CLIPTextModelWithProjection(_text_config(1280, 32, "gelu"))


def _text_config(width: int, layers: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        hidden_act=activation,
        projection_dim=width,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )


def sd2_unet(in_channels: int = 4) -> UNet2DConditionModel:
    """Stable Diffusion 2's UNet for 768 px, 865.9 M parameters: latents (b, 4, 96, 96) under text (b, 77, 1024)."""
    return UNet2DConditionModel(
        sample_size=96,
        in_channels=in_channels,
        block_out_channels=(320, 640, 1280, 1280),
        attention_head_dim=(5, 10, 20, 20),
        cross_attention_dim=1024,
        use_linear_projection=True,
    )


def sd2_controlnet() -> ControlNetModel:
    """The ControlNet of `sd2_unet`, 364.2 M parameters: conditions (b, 3, 768, 768)."""
    return ControlNetModel.from_unet(sd2_unet(), load_weights_from_unet=False)


def stable_diffusion_vae(scaling_factor: float = 0.18215) -> AutoencoderKL:
    """The VAE of Stable Diffusion 1 and 2, 83.7 M parameters: factor 8, 4 channels. SDXL's is the same but for its
    weights and its scaling factor, 0.13025."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=scaling_factor,
    )


def sdxl_vae() -> AutoencoderKL:
    """SDXL's VAE."""
    return stable_diffusion_vae(SDXL_SCALING_FACTOR)


def dinov2_giant() -> Dinov2Model:
    """DINOv2-Giant, 1,136 M parameters: pixels (b, 3, 224, 224) to tokens (b, 257, 1536), CLS first."""
    return Dinov2Model(
        Dinov2Config(
            hidden_size=DINOV2_GIANT_DIM,
            num_hidden_layers=40,
            num_attention_heads=24,
            use_swiglu_ffn=True,
            image_size=518,
            patch_size=14,
        )
    )


def dino_vits16() -> ViTModel:
    """DINO ViT-S/16, 21.7 M parameters: pixels (b, 3, 224, 224) to tokens (b, 197, 384), CLS first."""
    config = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536)
    return ViTModel(config, add_pooling_layer=False)


def depth_anything_large() -> DepthAnythingForDepthEstimation:
    """Depth Anything V2 Large, 335.3 M parameters: pixels (b, 3, 518, 518) to relative inverse depth (b, 518, 518)."""
    backbone = Dinov2Config(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=518,
        patch_size=14,
        out_indices=[5, 12, 18, 24],
        reshape_hidden_states=False,
    )
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=1024,
            neck_hidden_sizes=[256, 512, 1024, 1024],
            fusion_hidden_size=256,
        )
    )


def grounding_dino_base() -> GroundingDinoForObjectDetection:
    """Grounding DINO on Swin-B, 232.3 M parameters: pixels (b, 3, 800, 800) and BERT's tokens to 900 boxes."""
    backbone = SwinConfig(
        image_size=384,
        embed_dim=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        out_indices=[2, 3, 4],
    )
    return GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=backbone))
