"""The View Generator: the same subject from another view (paper section 3.2, Eq 4)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.stages import ViewConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.autoencoder import load_autoencoder
from toffee_pipeline.models.dino import GRID
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
from toffee_pipeline.models.sampling import denoise, generators, guided, initial_noise, make_scheduler
from toffee_pipeline.models.speed import denoising, in_few_steps, sped_up
from toffee_pipeline.models.tensors import resize, to_images
from toffee_pipeline.models.weights import config_options, load_pretrained, resolve
from toffee_pipeline.schema.subjects import Subject


class ViewGenerator:
    """Draws views with a `ViewGeneratorNetwork`, from a folder such as its `save` writes."""

    def __init__(self, spec: ModelSpec, settings: ViewConfig, size_px: int, device: torch.device) -> None:
        self.device, self.sampling, self.size_px = device, settings.sampling, size_px
        self.speed = settings.speed
        unet = load_model(UNet2DConditionModel, spec, "view_generator", device, "unet")
        self.network = ViewGeneratorNetwork(sped_up(unet, self.speed), _load_scheduler(spec)).eval()
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
        sources = generators(seeds)
        with denoising(self.network.unet, self.speed):
            latents = denoise(
                guided(self.network, tokens.to(self.device), self.sampling.guidance_scale),
                make_scheduler(self.sampling, self.network.scheduler.config),
                initial_noise(self.latents_shape, sources, self.device),
                self.sampling.num_inference_steps,
                sources=sources,
            )
        return to_images(resize(self.autoencoder.decode(latents), self.size_px))

    def warm_up(self, batch_size: int, size_px: int) -> None:
        """As `Compilable` has it."""
        other = copy.copy(self)
        other.sampling = in_few_steps(self.sampling)
        tokens = torch.zeros(batch_size, 1 + GRID**2, self.network.unet.config.encoder_hid_dim)
        other.generate(tokens, [], [0] * batch_size)


def _load_scheduler(spec: ModelSpec) -> DDIMScheduler:
    if not spec.has_files:
        from toffee_pipeline.models.tiny.untrained import velocity_scheduler

        return velocity_scheduler()
    source = resolve(spec, "view_generator")
    return load_pretrained(DDIMScheduler, source, subfolder="scheduler", **config_options(spec))
