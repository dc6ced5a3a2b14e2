"""The nano text to image: SDXL's pipeline over the nano CLIP's text tower, the nano VAE and its own trained UNet."""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, Transformer2DModel, UNet2DConditionModel
from torch import nn

from toffee_pipeline.models.tiny.text_encoder import build_projected_text_encoder, build_text_encoder
from toffee_pipeline.models.weights import NANO_WEIGHTS, load_pretrained


def build_scheduler() -> DDIMScheduler:
    """Velocity on Stable Diffusion's noise schedule, stretched so that it ends in pure noise (Lin et al. 2024)."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def load_sdxl(folder: Path = NANO_WEIGHTS / "sdxl") -> StableDiffusionXLPipeline:
    """The whole pipeline in float32, in eval mode; `folder` holds `unet` and `scheduler`."""
    return assemble(
        load_unet(folder).eval(), load_pretrained(DDIMScheduler, folder / "scheduler", local_files_only=True)
    )


def take_over(network: nn.Module, unet: UNet2DConditionModel) -> None:
    """Copies the weights of every layer that `network` has in common with `unet`: where its training starts."""
    source, own = unet.state_dict(), network.state_dict()
    shared = {name: source[name] for name, value in own.items() if name in source and source[name].shape == value.shape}
    network.load_state_dict(shared, strict=False)


def take_over_text(network: UNet2DConditionModel, unet: UNet2DConditionModel) -> None:
    """`take_over`, and the layers that read text as well: both of nano's text encoders are one tower, so what they
    read of its states side by side is one layer with the sum of both halves' weights.

    Attention that only `network` has starts by adding nothing: it draws what `unet` would draw without pooled text and
    time ids.
    """
    take_over(network, unet)
    source = unet.state_dict()
    for name, layer in network.named_modules():
        if isinstance(layer, Transformer2DModel) and f"{name}.norm.weight" not in source:
            nn.init.zeros_(layer.proj_out.weight)
            nn.init.zeros_(layer.proj_out.bias)
        if name.endswith(("attn2.to_k", "attn2.to_v")) and f"{name}.weight" in source:
            first, second = source[f"{name}.weight"].chunk(2, dim=1)
            layer.load_state_dict({"weight": first + second})


def load_unet(folder: Path = NANO_WEIGHTS / "sdxl") -> UNet2DConditionModel:
    """Its UNet in float32."""
    return load_pretrained(UNet2DConditionModel, folder / "unet", local_files_only=True).float()


def assemble(unet: UNet2DConditionModel, scheduler: DDIMScheduler) -> StableDiffusionXLPipeline:
    """The pipeline around this UNet. Both text encoders are the one tower that the small world has."""
    text_encoder, tokenizer = build_text_encoder()
    vae = load_pretrained(AutoencoderKL, NANO_WEIGHTS / "vae", local_files_only=True).float().eval()
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=build_projected_text_encoder(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )
