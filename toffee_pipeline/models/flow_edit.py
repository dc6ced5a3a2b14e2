"""Edits by a difference of predictions (FlowEdit, Kulikov et al. 2025, Alg. 1), for noise and velocity models.

The picture moves along the ODE by how the network's clean image under the new prompt differs from that under the old
one, both from the same noise. What both prompts say cancels out, so that it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.models.sampling import Predict, initial_noise, make_scheduler, num_steps_from

LEAST_SIGNAL = 1e-6
"""Of alpha-bar, where a schedule ends in pure noise."""


def flow_edit(
    source: Predict,
    target: Predict,
    base: Mapping[str, Any],
    clean: Tensor,
    sources: Sequence[torch.Generator],
    num_inference_steps: int,
    strength: float,
    mask: Tensor,
) -> Tensor:
    """The clean latents, edited.

    Args:
        source, target: of the old and of the new prompt.
        base: the network's scheduler config: noise schedule, `prediction_type`, `timestep_spacing`.
        clean: (b, c, h, w) float32 latents of the picture.
        sources: one per sample, for the noise of every step.
        strength: 0..1: the noise level of the first step, as SDEdit has it.
        mask: float (b, 1, h, w), 1 where the picture may change; elsewhere the result is `clean`.
    """
    scheduler = make_scheduler(SamplingConfig(scheduler="ddim"), base)
    assert isinstance(scheduler, DDIMScheduler)
    scheduler.set_timesteps(num_inference_steps, device=clean.device)
    timesteps = scheduler.timesteps[num_inference_steps - num_steps_from(strength, num_inference_steps) :]
    signal = scheduler.alphas_cumprod.to(clean.device)[timesteps].clamp(min=LEAST_SIGNAL)
    levels = torch.cat([((1 - signal) / signal).sqrt(), signal.new_zeros(1)])

    def denoised(predict: Predict, latents: Tensor, timestep: Tensor) -> Tensor:
        prediction = predict(latents, timestep).to(latents.dtype)
        return scheduler.step(prediction, timestep, latents).pred_original_sample

    edited = clean
    for timestep, alpha_bar, level, following in zip(timesteps, signal, levels[:-1], levels[1:], strict=True):
        noise = initial_noise(clean.shape[1:], sources, clean.device)
        before, after = (alpha_bar.sqrt() * (latents + level * noise) for latents in (clean, edited))
        wanted = denoised(target, after, timestep) - denoised(source, before, timestep)
        slope = (edited - clean - wanted) / level
        edited = torch.lerp(clean, edited + (following - level) * slope, mask)
    return edited
