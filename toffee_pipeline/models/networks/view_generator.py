"""The View Generator's network: Stable Diffusion 2's UNet on DINO tokens (paper section 3.2, Eq 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from toffee_pipeline.models.networks.dino_projection import add_dino_projection


class ViewGeneratorNetwork(nn.Module):
    """Stable Diffusion 2's UNet with DINO tokens in place of text; the trainer and the sampler both call this one.

    Args:
        unet: `UNet2DConditionModel` with `encoder_hid_dim_type="text_proj"`: tokens to cross-attention.
        scheduler: the noise schedule and prediction type that the network is trained for, saved beside it.
    """

    def __init__(self, unet: UNet2DConditionModel, scheduler: SchedulerMixin) -> None:
        super().__init__()
        self.unet = unet
        self.scheduler = scheduler

    @classmethod
    def from_base(cls, unet: UNet2DConditionModel, dino_dim: int, scheduler: SchedulerMixin) -> Self:
        """Where training starts: the base's UNet, changed in place, with a new projection.

        Args:
            scheduler: the base's, of any class; the network is trained for its noise schedule and v-prediction (ours).

        Raises ValueError where the UNet already projects its conditions.
        """
        add_dino_projection(unet, dino_dim)
        velocity = DDIMScheduler.from_config(scheduler.config, prediction_type="v_prediction", clip_sample=False)
        return cls(unet, velocity)

    def forward(self, latents: Tensor, timestep: Tensor | int, tokens: Tensor) -> Tensor:
        """Predict noise or velocity, as the scheduler's `prediction_type` says.

        Args:
            latents: (b, c, h, w) noisy latents, scaled.
            timestep: int, () or (b,).
            tokens: (b, 1 + n, dino_dim), CLS first. All zeros is the null condition.

        Returns:
            (b, c, h, w).
        """
        dtype = self.unet.dtype
        return self.unet(latents.to(dtype), timestep, encoder_hidden_states=tokens.to(dtype), return_dict=False)[0]

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass: less memory, about a third more time."""
        self.unet.enable_gradient_checkpointing()

    def save(self, folder: Path, vae: AutoencoderKL) -> None:
        """Write a `StableDiffusionPipeline` of `unet`, `vae` and `scheduler`, without text encoder.

        The stock class reloads it with `text_encoder=None, tokenizer=None`, and takes tokens as `prompt_embeds` and
        their zeros as `negative_prompt_embeds`, for which it would ask its text encoder.
        """
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=None,
            tokenizer=None,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)
