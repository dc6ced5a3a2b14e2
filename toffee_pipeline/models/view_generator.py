"""The View Generator: the same subject from another view (paper section 3.2, Eq 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from toffee_pipeline.config import ModelSpec, RunConfig
from toffee_pipeline.models.autoencoder import load_autoencoder
from toffee_pipeline.models.loading import hub_options, load_model, resolve
from toffee_pipeline.models.sampling import denoise, guided, initial_noise, make_scheduler
from toffee_pipeline.models.tensors import resize, to_images
from toffee_pipeline.schema import SampleError, Subject


class ViewGenerator:
    """Stable Diffusion 2's UNet with DINO tokens in place of text.

    Its folder is a stock `StableDiffusionPipeline` without text encoder: `unet` with
    `encoder_hid_dim_type="text_proj"`, `vae`, and `scheduler`, whose config says whether it predicts noise or velocity.
    """

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        spec = config.models.view_generator
        self.device, self.sampling, self.size_px = device, config.view_sampling, config.size_px
        self.unet = load_model(UNet2DConditionModel, spec, "view_generator", device, "unet")
        self.autoencoder = load_autoencoder(spec, device, "vae")
        self.scheduler_config = _scheduler_config(spec)
        # Its own resolution, which need not be the run's: SD2 was trained at 512 or 768 px.
        self.latents_shape = (self.autoencoder.channels, *(self.unet.config.sample_size,) * 2)

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
            guided(self._predict, tokens.to(self.device), self.sampling.guidance_scale),
            make_scheduler(self.sampling, self.scheduler_config),
            initial_noise(self.latents_shape, seeds, self.device),
            self.sampling.num_inference_steps,
        )
        return to_images(resize(self.autoencoder.decode(latents), self.size_px))

    def _predict(self, latents: Tensor, timestep: Tensor, tokens: Tensor) -> Tensor:
        dtype = self.unet.dtype
        return self.unet(latents.to(dtype), timestep, encoder_hidden_states=tokens.to(dtype), return_dict=False)[0]


def _scheduler_config(spec: ModelSpec) -> dict:
    if spec.weights == "untrained":
        from toffee_pipeline.nano.untrained import velocity_scheduler

        return dict(velocity_scheduler().config)
    options = {key: value for key, value in hub_options(spec).items() if key != "variant"}
    return DDIMScheduler.load_config(resolve(spec, "view_generator"), subfolder="scheduler", **options)
