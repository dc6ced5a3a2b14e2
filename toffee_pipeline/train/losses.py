"""The diffusion loss of all three networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor


def diffusion_loss(
    predict: Callable[[Tensor, Tensor], Tensor],
    scheduler: DDIMScheduler,
    latents: Tensor,
    generator: torch.Generator,
    min_snr_gamma: float | None = None,
    region_weight: Tensor | None = None,
) -> Tensor:
    """Mean squared error of noise or velocity, as `prediction_type` says (Eq 1 and 4).

    Args:
        predict: (noisy latents (b, c, h, w), timesteps (b,)) to the prediction (b, c, h, w).
        latents: clean, scaled (b, c, h, w).
        generator: of noise and timesteps; one on the CPU gives every device the same.
        min_snr_gamma: weight each sample by min(SNR, gamma) / SNR, or / (SNR + 1) for velocity (Hang et al. 2023).
        region_weight: of each latent, broadcastable to (b, c, h, w), about 1 in the mean.
    """
    drawn_on, steps = generator.device, scheduler.config.num_train_timesteps
    noise = torch.randn(latents.shape, generator=generator, device=drawn_on).to(latents)
    timesteps = torch.randint(0, steps, (len(latents),), generator=generator, device=drawn_on).to(latents.device)
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    predicted = predict(scheduler.add_noise(latents, noise, timesteps), timesteps).float()
    errors = (predicted - target).square()
    if region_weight is not None:
        errors = errors * region_weight
    if min_snr_gamma is None:
        return errors.mean()
    snr = compute_snr(scheduler, timesteps)
    weight = snr.clamp(max=min_snr_gamma) / (snr + 1 if velocity else snr)
    return (errors.flatten(1).mean(1) * weight).mean()


def drop(values: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zeros in place of whole samples of (b, ...), each with this probability: the null condition."""
    kept = torch.rand(len(values), generator=generator) >= probability
    return values * kept.to(values).view(-1, *[1] * (values.dim() - 1))
