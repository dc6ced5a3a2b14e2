"""The VAE between images and latents, always in float32: half precision costs several grey levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.tensors import to_tensor


class Autoencoder:
    """An `AutoencoderKL` with its scaling.

    scale_factor: pixels per latent. channels: of the latents.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae.float().eval()
        self.scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.channels: int = vae.config.latent_channels

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to the posterior's mean, scaled: float32 (b, c, H / factor, W / factor)."""
        pixels = to_tensor(images, self.vae.device) * 2 - 1
        return self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, c, h, w) to pixels float32 (b, 3, h * factor, w * factor), about 0..1."""
        return self.vae.decode(latents.float() / self.vae.config.scaling_factor).sample / 2 + 0.5


def load_autoencoder(spec: ModelSpec, device: torch.device, subfolder: str = "") -> Autoencoder:
    """The VAE of a spec; `subfolder` of a pretrained pipeline."""
    return Autoencoder(load_model(AutoencoderKL, spec, "vae", device, subfolder, torch.float32))


def load_training_autoencoder(config: TrainingConfig, device: torch.device) -> Autoencoder:
    """The VAE that a training works in: `models.vae`, else the base's own."""
    if config.models.vae is not None:
        return load_autoencoder(config.models.vae, device)
    return load_autoencoder(config.models.base, device, "vae")
