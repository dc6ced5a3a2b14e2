"""Applies `SpeedConfig` to networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from toffee_pipeline.config.speed import SpeedConfig

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
    if speed.compile is None:
        return network
    return torch.compile(  # its overloads know nothing of the last option
        network, backend=speed.compile, fullgraph=True, dynamic=False, isolate_recompiles=True
    )  # type: ignore[call-overload]


@contextmanager
def attention_of(speed: SpeedConfig) -> Iterator[None]:
    """Attention by the configured kernel while it lasts."""
    if speed.attention is None:
        yield
    else:
        with sdpa_kernel(BACKENDS[speed.attention]):
            yield
