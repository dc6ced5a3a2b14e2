"""Notices that a Dataset waits in vain for nodes that are gone."""

from __future__ import annotations

import time
from typing import Any

from toffee_pipeline.on_ray.session import StepCallback, cluster_size

LOOK_EVERY_S = 5.0


class Stalled(Exception):
    """Nodes were lost, and nothing was computed for long. A task of an actor that no node has room for any more waits
    for ever, and with it what needs its result."""


class StallWatch:
    """Raises `Stalled` out of a Dataset's iteration, once for `stall_s` no micro-batch has ended and the cluster has
    fewer CPUs or GPUs than it had since the Dataset began."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._figures: Any = None
        self._latest = self._looked = time.monotonic()
        self._most = (0.0, 0.0)

    def restart(self) -> None:
        """A Dataset is about to be planned: what was lost before is no loss any more, what goes from now on is."""
        self._latest = self._looked = time.monotonic()
        self._most = cluster_size()

    def note(self, figures: Any) -> None:
        """Takes the stages' figures; where they changed, something was computed."""
        if figures != self._figures:
            self._figures, self._latest = figures, time.monotonic()

    def step(self) -> None:
        """Called in each step of Ray Data's scheduling loop, in whose thread it may raise."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked, size = now, cluster_size()
        lost = any(now < before for now, before in zip(size, self._most, strict=True))
        self._most = (max(size[0], self._most[0]), max(size[1], self._most[1]))
        if lost and now - self._latest > self._stall_s:
            raise Stalled(
                f"nothing was computed for {now - self._latest:.0f} s and nodes are gone: {size[0]:g} CPUs and "
                f"{size[1]:g} GPUs are left of {self._most[0]:g} and {self._most[1]:g}"
            )

    def callback(self) -> type[Any]:
        """For `DataContext.custom_execution_callback_classes`, of which Ray Data makes an instance."""
        return type("Watched", (_Callback,), {"watch": self})


class _Callback(StepCallback):
    watch: StallWatch

    def on_execution_step(self, executor: Any) -> None:
        self.watch.step()
