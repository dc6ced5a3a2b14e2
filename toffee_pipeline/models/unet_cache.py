"""Caches of diffusers in a UNet: at some steps its transformers are not computed.

diffusers applies them by itself to networks of transformer blocks alone. Of its functions only these two act on a
UNet2DConditionModel, and only with the names of its parts.
"""

from __future__ import annotations

import math
from typing import Any

from diffusers import UNet2DConditionModel
from diffusers.hooks import (
    HookRegistry,
    ModelHook,
    PyramidAttentionBroadcastConfig,
    TaylorSeerCacheConfig,
    apply_pyramid_attention_broadcast,
    apply_taylorseer_cache,
)
from diffusers.hooks.hooks import CacheContext, _set_cache_context  # a UNet has no method for it

from toffee_pipeline.config.speed import SpeedConfig

# A transformer ends in proj_out, whose output is kept; nothing reads the blocks before it at the steps left out. What
# is added to it, and the ControlNet's residuals, are of the step itself.
KEPT, LEFT_OUT = r".*attentions\.\d+\.proj_out", r".*attentions\.\d+\.transformer_blocks\.\d+"


class StepCounter(ModelHook):
    """step: of the denoising run, from 0. Where the batch changes midway, what was kept does not fit it any more, and
    another run begins."""

    _is_stateful = True

    def __init__(self) -> None:
        super().__init__()
        self.step, self._batch_size = -1, 0

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        batch_size = len(args[0] if args else kwargs["sample"])
        if batch_size != self._batch_size:
            forget(module)
            _set_cache_context(module, CacheContext("run"))
            self._batch_size = batch_size
        self.step += 1
        return args, kwargs

    def reset_state(self, module: Any) -> Any:
        self.step, self._batch_size = -1, 0
        return module


def add_cache(unet: UNet2DConditionModel, speed: SpeedConfig) -> None:
    """Hooks the configured cache into the UNet; `forget` ends each denoising run."""
    counter, first = StepCounter(), speed.cache_after_steps
    if speed.cache == "taylorseer":
        config = TaylorSeerCacheConfig(
            cache_interval=speed.cache_interval,
            disable_cache_before_step=first,
            taylor_factors_dtype=unet.dtype,
            cache_identifiers=[KEPT],
            skip_predict_identifiers=[LEFT_OUT],
        )
        apply_taylorseer_cache(unet, config)
    else:
        steps = (first - 1, math.inf)  # bounds of what the callback gives, both exclusive
        broadcast = PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=speed.cache_interval,
            cross_attention_block_skip_range=speed.cache_interval,
            spatial_attention_timestep_skip_range=steps,
            cross_attention_timestep_skip_range=steps,
            current_timestep_callback=lambda: counter.step,
        )
        apply_pyramid_attention_broadcast(unet, broadcast)
    HookRegistry.check_if_exists_or_initialize(unet).register_hook(counter, "toffee_step_counter")


def forget(unet: UNet2DConditionModel) -> None:
    """Drops what was kept of the steps so far."""
    HookRegistry.check_if_exists_or_initialize(unet).reset_stateful_hooks()
