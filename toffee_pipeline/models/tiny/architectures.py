"""The trained nano networks: stock classes of the real models, made small. All see 64 px images."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextConfig, Dinov2Config, Dinov2Model

from toffee_pipeline.models.tokenizers import CONTEXT_LENGTH

SIZE_PX = 64
PATCH_PX = 4
LATENT_CHANNELS = 8
DINO_DIM = 128
TOKEN_MAP_CHANNELS = 24
REFINER_POOLED_DIM = 16
TEXT_DIM = 128
TEXT_LAYERS = 4
TEXT_HEADS = 4


def build_vae() -> AutoencoderKL:
    """KL autoencoder, factor 4: (b, 3, 64, 64) in -1..1 to latents (b, 8, 16, 16)."""
    return AutoencoderKL(
        block_out_channels=(24, 48, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def build_dino() -> Dinov2Model:
    """DINOv2 of 5 layers: 1 CLS and 16 x 16 patch tokens of 128 numbers, one patch per VAE latent."""
    return Dinov2Model(
        Dinov2Config(
            hidden_size=DINO_DIM,
            num_hidden_layers=5,
            num_attention_heads=2,
            mlp_ratio=4,
            image_size=SIZE_PX,
            patch_size=PATCH_PX,
            layerscale_value=1.0,
            drop_path_rate=0.0,
        )
    )


def build_clip_config(vocab_size: int) -> dict:
    """open_clip model config: ViT with 8 px patches and a 4-layer text tower over the world's own BPE."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": SIZE_PX, "layers": 5, "width": 160, "head_width": 32, "patch_size": 8},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "width": TEXT_DIM,
            "heads": TEXT_HEADS,
            "layers": TEXT_LAYERS,
        },
    }


def build_filter_clip_config(vocab_size: int) -> dict:
    """The same with CLIP's ResNet for pictures, which learns colours and patterns in a third of a ViT's time."""
    vision = {"image_size": SIZE_PX, "layers": [2, 2, 2, 2], "width": 16, "head_width": 32}
    return build_clip_config(vocab_size) | {"vision_cfg": vision}


def build_text_config(vocab_size: int) -> CLIPTextConfig:
    """transformers' config of the text tower above; the last two ids are the start and the end token."""
    return CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=TEXT_DIM,
        intermediate_size=4 * TEXT_DIM,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=TEXT_HEADS,
        max_position_embeddings=CONTEXT_LENGTH,
        hidden_act="gelu",
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
    )


def build_refiner_unet(token_map: bool = True) -> UNet2DConditionModel:
    """SDXL's UNet class, small. DINO tokens enter by cross-attention and, with `token_map`, also as
    24 extra input channels, one patch token per latent position (see `models.refiner`)."""
    channels = (48, 96, 144)
    return UNet2DConditionModel(
        sample_size=SIZE_PX // PATCH_PX,
        in_channels=LATENT_CHANNELS + (TOKEN_MAP_CHANNELS if token_map else 0),
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=128,
        encoder_hid_dim=DINO_DIM,
        encoder_hid_dim_type="text_proj",
        attention_head_dim=tuple(width // 32 for width in channels),
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + REFINER_POOLED_DIM,
    )


def build_sdxl_unet() -> UNet2DConditionModel:
    """SDXL's UNet class, small: two text states side by side (b, 24, 256), pooled text and time ids.

    As in SDXL, the finest level has no attention.
    """
    return UNet2DConditionModel(**_sdxl_unet_options(), **_options(2 * TEXT_DIM), **_text_time())


def build_controlnet() -> ControlNetModel:
    """SDXL's ControlNet without attention: a depth map (b, 3, 64, 64) in 0..1 says where, not what.

    Three condition widths make its factor 4, the VAE's.
    """
    return ControlNetModel(
        down_block_types=("DownBlock2D",) * 3,
        mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=(16, 32, 64),
        **_options(2 * TEXT_DIM),
        **_text_time(),
    )


def _sdxl_unet_options() -> dict[str, Any]:
    return {
        "sample_size": SIZE_PX // PATCH_PX,
        "out_channels": LATENT_CHANNELS,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    }


def _options(cross_attention_dim: int) -> dict[str, Any]:
    channels = (64, 96, 96)
    return {
        "in_channels": LATENT_CHANNELS,
        "layers_per_block": 1,
        "block_out_channels": channels,
        "cross_attention_dim": cross_attention_dim,
        "attention_head_dim": tuple(width // 32 for width in channels),
        "use_linear_projection": True,
        "norm_num_groups": 16,
    }


def _text_time() -> dict[str, Any]:
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + TEXT_DIM,
    }


def build_view_generator_unet() -> UNet2DConditionModel:
    """Stable Diffusion 2's UNet class, small: where the View Generator's training starts, before its DINO projection.

    It has the layers of `build_sdxl_unet` but for what text brings, so that it can start with the weights of that.
    """
    return UNet2DConditionModel(**_sdxl_unet_options(), **_options(TEXT_DIM))


def build_toffeenet_base_unet() -> UNet2DConditionModel:
    """Stable Diffusion 2's UNet class, small: text (b, 24, 128); where ToffeeNet's training starts.

    It has the layers of `build_sdxl_unet`, and attention on the finest level as well, where DINO tokens tell details.
    """
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D",) * 3,
        "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    }
    return UNet2DConditionModel(**(_sdxl_unet_options() | blocks), **_options(TEXT_DIM))
