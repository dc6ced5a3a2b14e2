"""Notices that a Dataset waits in vain: for nodes that are gone, or for what hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from toffee_pipeline.errors import Stalled
from toffee_pipeline.on_ray.placement import Node, Pool, first_that_does_not_fit
from toffee_pipeline.on_ray.session import StepCallback, nodes_up

LOOK_EVERY_S = 5.0


class StallWatch:
    """Raises `Stalled` out of a Dataset's iteration where no micro-batch has ended for `stall_s` and the cluster has
    fewer CPUs or GPUs than it had since the Dataset began; also without a loss where none has for `overdue_s`, or for
    `stall_s` while an actor cannot start on its machine, unless a stage waits for nodes that have not come yet: that is
    said.

    Args:
        overdue_s: longer than an actor can take to load and to compute a micro-batch.
        nodes: those that are up.
    """

    def __init__(
        self,
        stall_s: float,
        overdue_s: float,
        say: Callable[[str], object],
        nodes: Callable[[], Sequence[Node]] = nodes_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_s, self._overdue_s, self._say, self._nodes, self._clock = stall_s, overdue_s, say, nodes, clock
        self._figures: Any = None
        self._pools: Sequence[Pool] = ()
        self._latest = self._looked = self._said = clock()
        self._most, self.held = (0.0, 0.0), 0

    def restart(self) -> None:
        """A Dataset is about to be planned: what was lost before is no loss any more, what goes from now on is."""
        self._latest = self._looked = self._said = self._clock()
        self._most, self.held = _size(self._nodes()), 0

    def follow(self, pools: Sequence[Pool]) -> None:
        """It is planned, with these pools."""
        self._pools = [pool._replace(num_actors=1) for pool in pools]

    def note(self, figures: Any, held: int) -> None:
        """Takes the stages' figures; where they changed, something was computed. held: actors that cannot start on
        their machine, while no other is loading."""
        self.held = held
        if figures != self._figures:
            self._figures, self._latest = figures, self._clock()

    def step(self) -> None:
        """Called in each step of Ray Data's scheduling loop, in whose thread it may raise."""
        now = self._clock()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked, nodes = now, self._nodes()
        size, quiet_s = _size(nodes), now - self._latest
        lost = any(now < before for now, before in zip(size, self._most, strict=True))
        self._most = (max(size[0], self._most[0]), max(size[1], self._most[1]))
        if quiet_s <= self._stall_s:
            return
        if lost:
            raise Stalled(
                f"nothing was computed for {quiet_s:.0f} s and nodes are gone: {size[0]:g} CPUs and "
                f"{size[1]:g} GPUs are left of {self._most[0]:g} and {self._most[1]:g}",
                nodes_gone=True,
            )
        if (label := first_that_does_not_fit(self._pools, nodes)) is None:
            if self.held:
                raise Stalled(f"nothing was computed for {quiet_s:.0f} s: {self.held} of the actors cannot start")
            if quiet_s > self._overdue_s:
                raise Stalled(f"nothing was computed for {quiet_s:.0f} s, and no node is gone")
        elif now - self._said > self._stall_s:
            self._said = now
            self._say(f"nothing was computed for {quiet_s:.0f} s: no node that is up has room for {label}; waiting")

    def callback(self) -> type[Any]:
        """For `DataContext.custom_execution_callback_classes`, of which Ray Data makes an instance."""
        return type("Watched", (_Callback,), {"watch": self})


def _size(nodes: Sequence[Node]) -> tuple[float, float]:
    """CPUs and GPUs."""
    return sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)


class _Callback(StepCallback):
    watch: StallWatch

    def on_execution_step(self, executor: Any) -> None:
        self.watch.step()
