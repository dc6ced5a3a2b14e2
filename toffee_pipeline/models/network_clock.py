"""How long networks compute: the outermost calls of modules, until the device is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module
from torch.utils.hooks import RemovableHandle


def now(device: torch.device) -> float:
    """Seconds of a clock, read when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class NetworkClock:
    """seconds: in calls of the networks while `running`, without those inside them.

    Networks are the outermost modules that were called while `finding`. Only these are watched while it runs: a hook in
    every layer would cost a small network much of its time.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds = 0.0
        self.networks: set[nn.Module] = set()
        self._device, self._depth, self._began = device, 0, 0.0

    @contextmanager
    def finding(self) -> Iterator[None]:
        hooks = [
            module.register_module_forward_pre_hook(self._find),
            module.register_module_forward_hook(self._leave, always_call=True),
        ]
        with _removed(hooks), torch.compiler.set_stance("force_eager"):  # they cannot be compiled with the networks
            yield
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        hooks = []
        for network in self.networks:
            hooks.append(network.register_forward_pre_hook(self._enter))
            hooks.append(network.register_forward_hook(self._leave, always_call=True))
        with _removed(hooks):
            yield

    def _find(self, called: nn.Module, _: Any) -> None:
        if self._depth == 0:
            self.networks.add(called)
        self._enter()

    def _enter(self, *_: Any) -> None:
        if self._depth == 0:
            self._began = now(self._device)
        self._depth += 1

    def _leave(self, *_: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += now(self._device) - self._began


@contextmanager
def _removed(hooks: list[RemovableHandle]) -> Iterator[None]:
    """Without these hooks when it ends."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
