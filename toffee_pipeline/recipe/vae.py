"""Trains the nano VAE on 32 px crops. Its latents are pulled towards a whitened patch PCA, which gives the
diffusion models a smooth space and the decoder a target from the first step on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.models.tiny.architectures import LATENT_CHANNELS, PATCH_PX, build_vae
from toffee_pipeline.recipe.data import load_data, to_tensor
from toffee_pipeline.recipe.loop import fit

CROP_PX = 32


class PatchPCA:
    """Linear code of 4 x 4 px patches with `LATENT_CHANNELS` components, partly whitened, unit scale."""

    def __init__(self, images: Tensor) -> None:
        patches = self._patches(images)
        self.mean = patches.mean((0, 1))
        flat = (patches - self.mean).reshape(-1, patches.shape[-1])
        eigenvalues, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
        self.basis = vectors.flip(1)[:, :LATENT_CHANNELS]
        self.scale = eigenvalues.flip(0)[:LATENT_CHANNELS].sqrt() ** 0.6
        self.scale = self.scale * (flat @ self.basis / self.scale).std()

    @staticmethod
    def _patches(images: Tensor) -> Tensor:
        return F.unfold(images, PATCH_PX, stride=PATCH_PX).transpose(1, 2)

    def encode(self, images: Tensor) -> Tensor:
        code = (self._patches(images) - self.mean) @ self.basis / self.scale
        side = images.shape[-1] // PATCH_PX
        return code.transpose(1, 2).reshape(len(images), LATENT_CHANNELS, side, side)


def psnr(a: Tensor, b: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of images in -1..1."""
    return float((10 * torch.log10(4 / (a - b).square().mean((1, 2, 3)))).mean())


def train_vae(work_dir: Path, weights_dir: Path, steps: int) -> None:
    data = load_data(work_dir, "views")
    train = data.rgb[: data.num_train].reshape(-1, *data.rgb.shape[2:])
    held_out = to_tensor(data.rgb[data.num_train :, 0])
    pca = PatchPCA(to_tensor(train[:: len(train) // 2000]))
    vae = build_vae()
    with torch.no_grad():  # start with a nearly deterministic posterior
        vae.quant_conv.weight[LATENT_CHANNELS:] *= 0.1
        vae.quant_conv.bias[LATENT_CHANNELS:] = -5.0

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = train[rng.integers(len(train), size=16)]
        y, x = rng.integers(0, (64 - CROP_PX) // PATCH_PX + 1, size=2) * PATCH_PX
        images = to_tensor(batch[:, y : y + CROP_PX, x : x + CROP_PX])
        if rng.random() < 0.5:
            images = images.flip(3)
        posterior = vae.encode(images).latent_dist
        target = pca.encode(images)
        distillation = max(0.0, 1 - 2 * step / steps)
        latents = posterior.mean + posterior.std * torch.randn_like(posterior.mean)
        if rng.random() < distillation:
            latents = target + 0.05 * torch.randn_like(target)
        decoded = vae.decode(latents).sample.float()
        error = decoded - images
        gradient = (error[..., 1:] - error[..., :-1]).abs().mean() + (
            error[..., 1:, :] - error[..., :-1, :]
        ).abs().mean()
        pull = F.mse_loss(posterior.mean.float(), target)
        loss = error.abs().mean() + 2 * error.square().mean() + 0.2 * gradient + 1e-6 * posterior.kl().float().mean()
        return loss + (0.02 + distillation) * pull, {"pull": pull.item()}

    def evaluate(model: AutoencoderKL) -> dict[str, float]:
        mean = model.encode(held_out).latent_dist.mean
        decoded = model.decode(mean).sample.clamp(-1, 1)
        return {"psnr_db": psnr(decoded, held_out), "latent_std": mean.std().item()}

    average = fit(
        "vae", vae, loss_fn, steps=steps, peak_lr=2e-3, work_dir=work_dir, weight_decay=1e-4, evaluate=evaluate
    )
    with torch.no_grad():
        average.register_to_config(scaling_factor=float(1 / average.encode(held_out).latent_dist.mean.std()))
    average.half().save_pretrained(weights_dir / "vae")
