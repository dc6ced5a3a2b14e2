"""The View Generator: the same subject from another view (paper section 3.2, Eq 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from toffee_pipeline.config import ModelSpec, RunConfig
from toffee_pipeline.models.autoencoder import load_autoencoder
from toffee_pipeline.models.dino_projection import add_dino_projection
from toffee_pipeline.models.loading import config_options, load_model
from toffee_pipeline.models.sampling import denoise, guided, initial_noise, make_scheduler
from toffee_pipeline.models.tensors import resize, to_images
from toffee_pipeline.models.weights import resolve
from toffee_pipeline.schema import SampleError, Subject


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

        The stock class reloads it with `text_encoder=None, tokenizer=None` and takes tokens as `prompt_embeds`.
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


class ViewGenerator:
    """Draws views with a `ViewGeneratorNetwork`, from a folder such as its `save` writes."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        spec = config.models.view_generator
        self.device, self.sampling, self.size_px = device, config.view_sampling, config.size_px
        unet = load_model(UNet2DConditionModel, spec, "view_generator", device, "unet")
        self.network = ViewGeneratorNetwork(unet, _load_scheduler(spec)).eval()
        self.autoencoder = load_autoencoder(spec, device, "vae")
        # Its own resolution, which need not be the run's: SD2 was trained at 512 or 768 px.
        self.latents_shape = (self.autoencoder.channels, *(unet.config.sample_size,) * 2)

    @torch.inference_mode()
    def generate(
        self, tokens: Tensor, subjects: Sequence[Subject], seeds: Sequence[int]
    ) -> list[np.ndarray | SampleError]:
        """Inputs of generation pairs.

        Args:
            tokens: (b, 1 + n, dino_dim) of the subject images, unmixed.
            subjects: not used; the renderer's stand-in needs them.
            seeds: one per image; another seed gives another view.

        Returns:
            uint8 (size_px, size_px, 3) each, or a SampleError in its place.
        """
        latents = denoise(
            guided(self.network, tokens.to(self.device), self.sampling.guidance_scale),
            make_scheduler(self.sampling, self.network.scheduler.config),
            initial_noise(self.latents_shape, seeds, self.device),
            self.sampling.num_inference_steps,
        )
        return to_images(resize(self.autoencoder.decode(latents), self.size_px))


def _load_scheduler(spec: ModelSpec) -> DDIMScheduler:
    if spec.weights == "untrained":
        from toffee_pipeline.nano.untrained import velocity_scheduler

        return velocity_scheduler()
    source = resolve(spec, "view_generator")
    return DDIMScheduler.from_pretrained(source, subfolder="scheduler", **config_options(spec))
