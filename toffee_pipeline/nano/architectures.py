"""The trained nano networks: stock classes of the real models, made small. All see 64 px images."""

from __future__ import annotations

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, Dinov2Config, Dinov2Model

SIZE_PX = 64
PATCH_PX = 4
LATENT_CHANNELS = 8
DINO_DIM = 128
TOKEN_MAP_CHANNELS = 24
REFINER_POOLED_DIM = 16
CONTEXT_LENGTH = 24
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


def build_view_generator_unet() -> UNet2DConditionModel:
    """Stable Diffusion 2's UNet class, small: where the View Generator's training starts, before its DINO projection.
    What it draws comes in by cross-attention alone, so that stands at 16 x 16 and 8 x 8 too, not at 4 x 4 alone."""
    return _build_sd2_unet((64, 128, 192))


def build_toffeenet_base_unet() -> UNet2DConditionModel:
    """Stable Diffusion 2's UNet class, small: text (b, 24, 128); where ToffeeNet's training starts."""
    return _build_sd2_unet((64, 96, 160))


def _build_sd2_unet(channels: tuple[int, int, int]) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIZE_PX // PATCH_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_DIM,
        attention_head_dim=tuple(width // 32 for width in channels),
        use_linear_projection=True,
        norm_num_groups=16,
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
