"""The published networks at their real sizes, with random weights: for memory and cost figures, not for images.

Each function builds on torch's default device; under `with torch.device("meta")` it takes no memory and no time.
"""

from __future__ import annotations

from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import Dinov2Config, Dinov2Model

DINOV2_GIANT_DIM = 1536


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
