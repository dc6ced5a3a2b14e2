"""SDXL's parts, loaded once per process and shared by subject synthesis and drafts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import Tensor

from toffee_pipeline.config.base import DistilledSpec, ModelSpec, VaeSpec
from toffee_pipeline.config.speed import SpeedConfig
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.autoencoder import Autoencoder, load_autoencoder
from toffee_pipeline.models.loading import build_random, build_untrained, dtype_of
from toffee_pipeline.models.speed import sped_up
from toffee_pipeline.models.weights import config_options, hub_options, load_pretrained, resolve


@lru_cache(maxsize=2)
def load_sdxl(
    spec: ModelSpec,
    vae: VaeSpec | None,
    distilled: DistilledSpec | None,
    speed: SpeedConfig,
    device: torch.device,
) -> tuple[dict[str, Any], Autoencoder]:
    """The stock pipeline's components on the device, and its VAE.

    Subjects and drafts share them where they draw with one UNet, at one `speed`.

    vae: in the place of its own, which decodes in float32. Raises ConfigError where it has other latents.
    """
    autoencoder = None if vae is None else load_autoencoder(vae, device)
    if spec.weights == "untrained":
        pipeline = build_untrained("sdxl")
    elif spec.weights == "random":
        pipeline = build_random("sdxl", device, dtype_of(spec))
    elif spec.weights == "nano":
        from toffee_pipeline.models.tiny.sdxl import load_sdxl as load_nano_sdxl

        pipeline = load_nano_sdxl()
    else:
        own = {} if distilled is None else {"unet": load_distilled(distilled, spec)}
        pipeline = load_pretrained(
            StableDiffusionXLPipeline,
            resolve(spec, "sdxl"),
            dtype=dtype_of(spec),
            add_watermarker=False,
            **hub_options(spec),
            **own,
        )
    if autoencoder is not None:
        _require_same_latents(autoencoder.vae.config, pipeline.vae.config)
        pipeline.vae = None
    pipeline.to(device)
    autoencoder = autoencoder or Autoencoder(pipeline.vae)
    return pipeline.components | {"vae": autoencoder.vae, "unet": sped_up(pipeline.unet, speed)}, autoencoder


def _require_same_latents(ours: Any, of_sdxl: Any) -> None:
    for key in ("latent_channels", "scaling_factor"):
        if ours[key] != of_sdxl[key]:
            raise ConfigError(f"models.vae: its {key} is {ours[key]}, that of models.sdxl {of_sdxl[key]}")


def load_distilled(spec: DistilledSpec, base: ModelSpec) -> UNet2DConditionModel:
    """The UNet on the CPU, in the base's dtype. One file holds the weights alone: their shape is the base's.

    Raises RuntimeError where a file holds other weights.
    """
    source = resolve(spec, "distilled UNet")
    if not isinstance(source, Path) and (spec.variant or "").endswith(".safetensors"):
        source = Path(hf_hub_download(source, spec.variant, revision=spec.revision))
    if not isinstance(source, Path) or source.is_dir():
        return load_pretrained(UNet2DConditionModel, source, dtype=dtype_of(base), **hub_options(spec)).eval()
    config = UNet2DConditionModel.load_config(resolve(base, "sdxl"), subfolder="unet", **config_options(base))
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(load_file(source), assign=True)
    return unet.to(dtype_of(base)).eval()


class PromptConditions(NamedTuple):
    """What SDXL's UNet reads of b prompts, and the null condition of as many.

    text, no_text: (b, 77, c) `encoder_hidden_states`. pooled, no_pooled: (b, p) `text_embeds`.
    """

    text: Tensor
    no_text: Tensor
    pooled: Tensor
    no_pooled: Tensor


class PromptEncoder:
    """SDXL's text encoders; the last `REMEMBERED` distinct prompts are not encoded again.

    One prompt at a time, so that its bits do not depend on what is encoded beside it.
    """

    REMEMBERED = 64

    def __init__(self, pipeline: StableDiffusionXLPipeline, device: torch.device) -> None:
        encode = partial(pipeline.encode_prompt, device=device, do_classifier_free_guidance=True)
        self._encode = lru_cache(self.REMEMBERED)(encode)

    def __call__(self, prompts: Sequence[str]) -> PromptConditions:
        rows = [self._encode(prompt) for prompt in prompts]
        return PromptConditions(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
