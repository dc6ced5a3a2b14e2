"""The trained nano networks: stock classes of the real models, made small. All see 64 px images."""

from __future__ import annotations

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import Dinov2Config, Dinov2Model

SIZE_PX = 64
PATCH_PX = 4
LATENT_CHANNELS = 8
DINO_DIM = 128
TOKEN_MAP_CHANNELS = 24
REFINER_POOLED_DIM = 16


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
        "text_cfg": {"context_length": 24, "vocab_size": vocab_size, "width": 128, "heads": 4, "layers": 4},
    }


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


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule with v-prediction, sampled from the last timestep on."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
    )
