"""The Refiner at work (paper section 3.1): SDEdit of drafts, and edits inside a region."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.stages import RefineConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.autoencoder import load_autoencoder
from toffee_pipeline.models.blended import composite_all, latent_mask
from toffee_pipeline.models.dino import GRID
from toffee_pipeline.models.loading import build_random, build_untrained, dtype_of, local_folder
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.sampling import Blend, denoise, generators, guided, initial_noise, make_scheduler
from toffee_pipeline.models.speed import denoising, in_few_steps, sped_up
from toffee_pipeline.models.tensors import to_images


class Refiner:
    """Paints the subject's details into drafts: SDEdit from the draft's latents, conditioned on mixed DINO tokens.

    Args:
        vae: the weights of the VAE that it works in, and their subfolder in a pipeline.
    """

    def __init__(
        self, refiner: ModelSpec, vae: tuple[ModelSpec, str], settings: RefineConfig, device: torch.device
    ) -> None:
        self.device, self.strength, self.sampling = device, settings.strength, settings.sampling
        self.speed = settings.speed
        self.autoencoder = load_autoencoder(vae[0], device, vae[1])
        network: RefinerNetwork
        if refiner.weights == "untrained":
            network = build_untrained("refiner")
        elif refiner.weights == "random":
            network = build_random("refiner", device, dtype_of(refiner))
        else:
            folder = local_folder(refiner, "refiner")
            network = RefinerNetwork.load(folder, self.autoencoder.scale_factor, dtype_of(refiner), refiner.variant)
        self.network = network.to(device)
        self.network.unet = sped_up(self.network.unet, self.speed)

    def with_settings(self, settings: RefineConfig) -> Refiner:
        """The same network, at the same speed, sampled in another way."""
        other = copy.copy(self)
        other.strength, other.sampling = settings.strength, settings.sampling
        return other

    @torch.inference_mode()
    def refine(
        self, drafts: Sequence[np.ndarray], tokens: Tensor, seeds: Sequence[int]
    ) -> list[np.ndarray | SampleError]:
        """Targets of generation pairs (paper section 3.1).

        Args:
            drafts: uint8 (H, W, 3) each.
            tokens: (b, 1 + n, dino_dim) from `mix_tokens`.
            seeds: one per draft.

        Returns:
            uint8 (H, W, 3) each, or a SampleError in its place.
        """
        latents = self._sample(self.autoencoder.encode(drafts), tokens, seeds)
        return to_images(self.autoencoder.decode(latents))

    @torch.inference_mode()
    def edit(
        self,
        subject_images: Sequence[np.ndarray],
        drafts: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        tokens: Tensor,
        seeds: Sequence[int],
    ) -> list[np.ndarray | SampleError]:
        """Targets of edit pairs: `refine` inside the mask by blended latent diffusion (paper section 3.3).

        Args:
            subject_images, drafts: uint8 (H, W, 3) each.
            masks: bool (H, W) each, the editing mask, already dilated.
            tokens: (b, 1 + n, dino_dim).
            seeds: one per draft.

        Returns:
            uint8 (H, W, 3) each, exactly the subject image outside the mask; or a SampleError in its place.
        """
        kept = self.autoencoder.encode(subject_images)
        mask = latent_mask(masks, self.autoencoder.scale_factor, self.device)
        latents = self._sample(self.autoencoder.encode(drafts), tokens, seeds, kept, mask)
        return composite_all(to_images(self.autoencoder.decode(latents)), subject_images, masks)

    def warm_up(self, batch_size: int, size_px: int) -> None:
        """As `Compilable` has it."""
        other = copy.copy(self)
        other.strength, other.sampling = 1.0, in_few_steps(self.sampling)
        tokens = torch.zeros(batch_size, 1 + GRID**2, self.network.unet.config.encoder_hid_dim)
        other.refine([np.zeros((size_px, size_px, 3), np.uint8)] * batch_size, tokens, [0] * batch_size)

    def _sample(
        self,
        init_latents: Tensor,
        tokens: Tensor,
        seeds: Sequence[int],
        kept: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        sources = generators(seeds)
        noise = initial_noise(init_latents.shape[1:], sources, self.device)
        with denoising(self.network.unet, self.speed):
            return denoise(
                guided(self.network, tokens.to(self.device), self.sampling.guidance_scale),
                make_scheduler(self.sampling, self.network.scheduler.config),
                noise,
                self.sampling.num_inference_steps,
                sources=sources,
                init_latents=init_latents,
                strength=self.strength,
                blend=None if kept is None or mask is None else Blend(kept, mask, noise),
            )
