"""Applies `SpeedConfig` to networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.config.speed import SpeedConfig
from toffee_pipeline.models.unet_cache import add_cache, forget

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}


def sped_up(network: nn.Module, speed: SpeedConfig) -> Any:
    """The network, changed in place, in a wrapper where it is compiled: one graph for each shape that it meets, and an
    error where a graph would break.

    network: a UNet or a ControlNet of diffusers, whose cross-attention has no adapter.
    """
    if speed.fuse_qkv and isinstance(network, UNet2DConditionModel):  # a ControlNet cannot
        network.fuse_qkv_projections()
    if speed.channels_last:
        network.to(memory_format=torch.channels_last)
    if speed.cache and isinstance(network, UNet2DConditionModel):
        add_cache(network, speed)
    if speed.compile is None:
        return network
    return torch.compile(  # its overloads know nothing of the last option
        network, backend=speed.compile, fullgraph=True, dynamic=False, isolate_recompiles=True
    )  # type: ignore[call-overload]


@contextmanager
def denoising(unet: Any, speed: SpeedConfig) -> Iterator[None]:
    """One denoising run of a UNet from `sped_up`: attention by the configured kernel, and a cache that knows of no
    other run."""
    with sdpa_kernel(BACKENDS[speed.attention]) if speed.attention else nullcontext():
        try:
            yield
        finally:
            if speed.cache:
                forget(unet)


def without_memory(unet: Any, speed: SpeedConfig, predict: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`predict` for two runs of the UNet in turns: a cache would take what one has left for what the other needs."""

    def afresh(*args: Tensor) -> Tensor:
        forget(unet)
        return predict(*args)

    return afresh if speed.cache else predict


def in_few_steps(sampling: SamplingConfig) -> SamplingConfig:
    """Of a warm-up: one step with guidance and one without, where there are both."""
    return sampling.model_copy(update={"num_inference_steps": 2})
