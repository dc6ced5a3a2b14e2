"""The VAE between images and latents: in float32, inside autocast too, but for one that was made for float16."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from toffee_pipeline.config.base import ModelSpec, VaeSpec
from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.models.loading import load_model, no_autocast
from toffee_pipeline.models.tensors import to_tensor


class Autoencoder:
    """An `AutoencoderKL` with its scaling. half: whether it computes in float16.

    scale_factor: pixels per latent. channels: of the latents.
    """

    def __init__(self, vae: AutoencoderKL, half: bool = False) -> None:
        self.vae = (vae.half() if half else vae.float()).eval()
        self.scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.channels: int = vae.config.latent_channels

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to the posterior's mean, scaled: float32 (b, c, H / factor, W / factor)."""
        pixels = (to_tensor(images, self.vae.device) * 2 - 1).to(self.vae.dtype)
        with no_autocast(self.vae.device):
            return self.vae.encode(pixels).latent_dist.mode().float() * self.vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, c, h, w) to pixels float32 (b, 3, h * factor, w * factor), about 0..1."""
        scaled = (latents.float() / self.vae.config.scaling_factor).to(self.vae.dtype)
        with no_autocast(self.vae.device):
            return self.vae.decode(scaled).sample.float() / 2 + 0.5


def load_autoencoder(spec: ModelSpec, device: torch.device, subfolder: str = "") -> Autoencoder:
    """The VAE of a spec; `subfolder` of a pretrained pipeline. In float32, but for a `VaeSpec` of float16."""
    half = isinstance(spec, VaeSpec) and spec.dtype == "float16"
    dtype = torch.float16 if half else torch.float32
    return Autoencoder(load_model(AutoencoderKL, spec, "vae", device, subfolder, dtype), half)


def load_training_autoencoder(config: TrainingConfig, device: torch.device) -> Autoencoder:
    """The VAE that a training works in: `models.vae`, else the base's own."""
    if config.models.vae is not None:
        return load_autoencoder(config.models.vae, device)
    return load_autoencoder(config.models.base, device, "vae")
