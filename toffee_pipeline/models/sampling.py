"""Schedulers, noise per sample, and the one denoising loop that Refiner, edits and ToffeeNet share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler
from torch import Tensor

from toffee_pipeline.config.base import LCM_STEPS, SamplingConfig

Scheduler: TypeAlias = DDIMScheduler | DPMSolverMultistepScheduler | EulerDiscreteScheduler | LCMScheduler
Predict = Callable[[Tensor, Tensor], Tensor]
"""(latents (b, c, h, w), timestep ()) to the network's prediction (b, c, h, w)."""


@dataclass(frozen=True)
class Blend:
    """Blended latent diffusion (Avrahami et al. 2023, Alg. 1): outside `mask` the latents follow `latents`.

    latents: (b, c, h, w) clean latents to keep. mask: float (b, 1, h, w), 1 where the image is repainted.
    noise: (b, c, h, w), the same at every step.
    """

    latents: Tensor
    mask: Tensor
    noise: Tensor

    def apply(self, latents: Tensor, kept: Tensor) -> Tensor:
        return self.mask * latents + (1 - self.mask) * kept


def make_scheduler(sampling: SamplingConfig, base: Mapping[str, Any]) -> Scheduler:
    """A new scheduler; schedulers hold state, so make one for every call.

    Args:
        base: the trained network's scheduler config: noise schedule, `prediction_type`, `timestep_spacing`.
    """
    if sampling.scheduler == "lcm":  # it has a spacing of its own, over the steps of its teacher
        trailing = sampling.timestep_spacing == "trailing"
        steps = sampling.num_inference_steps if trailing else LCM_STEPS
        return LCMScheduler.from_config(base, clip_sample=False, original_inference_steps=steps)
    spacing = {} if sampling.timestep_spacing is None else {"timestep_spacing": sampling.timestep_spacing}
    if sampling.scheduler == "ddim":
        return DDIMScheduler.from_config(base, clip_sample=False, **spacing)
    if sampling.scheduler == "euler":
        return EulerDiscreteScheduler.from_config(base, **spacing)
    # where a schedule ends in pure noise (sigma 4096), Karras' sigmas take 16 of 25 steps in its last twentieth
    karras = not base.get("rescale_betas_zero_snr", False)
    return DPMSolverMultistepScheduler.from_config(
        base, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=karras, **spacing
    )


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per sample, so that neighbours and device do not change a sample's noise."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def initial_noise(shape: tuple[int, ...], sources: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """Standard normal noise, float32 (len(sources), *shape), row i from sources[i] alone."""
    return torch.stack([torch.randn(shape, generator=source) for source in sources]).to(device)


def guided(network: Callable[[Tensor, Tensor, Tensor], Tensor], tokens: Tensor, guidance_scale: float) -> Predict:
    """`network(latents, timestep, tokens)` under classifier-free guidance; at guidance_scale 1 a single pass.

    Args:
        tokens: (b, n, c) encoder_hidden_states; the null condition is zeros.
    """
    if guidance_scale <= 1:
        return lambda latents, timestep: network(latents, timestep, tokens)
    both = torch.cat([torch.zeros_like(tokens), tokens])

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        null, conditioned = network(torch.cat([latents, latents]), timestep, both).float().chunk(2)
        return null + guidance_scale * (conditioned - null)

    return predict


def num_steps_from(strength: float, num_inference_steps: int) -> int:
    """Steps that are left to an image noised to t0 = strength * T; at least one."""
    return max(int(num_inference_steps * strength), 1)


def denoise(
    predict: Predict,
    scheduler: Scheduler,
    noise: Tensor,
    num_inference_steps: int,
    *,
    sources: list[torch.Generator] | None = None,
    init_latents: Tensor | None = None,
    strength: float = 1.0,
    blend: Blend | None = None,
) -> Tensor:
    """Denoise from noise, or from `init_latents` noised to t0 = strength * T (SDEdit).

    Args:
        scheduler: a fresh one from `make_scheduler`.
        noise: (b, c, h, w) standard normal, float32; the loop computes in its dtype.
        sources: one per sample, for what LCM adds after a step; the others add nothing.
        init_latents: (b, c, h, w) clean latents; None starts from pure noise, whatever the strength.
        strength: 0..1; at least one step is taken.
        blend: what to keep outside its mask, after every step; exactly `blend.latents` there in the result.

    Returns:
        (b, c, h, w) clean latents.
    """
    scheduler.set_timesteps(num_inference_steps, device=noise.device)
    start = 0
    if init_latents is not None:
        start = num_inference_steps - num_steps_from(strength, num_inference_steps)
    timesteps = scheduler.timesteps[start:]
    if hasattr(scheduler, "set_begin_index"):  # DDIM keeps no index
        scheduler.set_begin_index(start)

    def noised(clean: Tensor, step: int) -> Tensor:
        return scheduler.add_noise(clean, noise if blend is None else blend.noise, timesteps[step].expand(len(clean)))

    if init_latents is None:
        latents = noise * scheduler.init_noise_sigma
    else:
        latents = scheduler.add_noise(init_latents, noise, timesteps[0].expand(len(noise)))
    if blend is not None:
        latents = blend.apply(latents, noised(blend.latents, 0))
    for step, timestep in enumerate(timesteps):
        prediction = predict(scheduler.scale_model_input(latents, timestep), timestep).to(latents.dtype)
        latents = scheduler.step(prediction, timestep, latents, generator=sources, return_dict=False)[0]
        if blend is not None:
            last = step + 1 == len(timesteps)
            latents = blend.apply(latents, blend.latents if last else noised(blend.latents, step + 1))
    return latents
