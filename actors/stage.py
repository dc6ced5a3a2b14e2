"""A stage, and what every stage shares: micro-batches, coding beside them, timing, failures."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from actors.energy import Meter, no_meter
from actors.guard import Guard, halving
from actors.shard import RowShard
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.filters import Reason

if TYPE_CHECKING:  # a stage without models should not load torch
    from toffee_pipeline.models.model_set import ModelSet

Progress = Callable[[str, int, float], None]
"""Called after each micro-batch with the stage's name, its rows and its seconds."""


def no_progress(stage: str, rows: int, seconds: float) -> None:
    """Where nobody asks."""


class Timed(Protocol):
    """What runs through a micro-batch: a subject's or a pair's state."""

    stage_s: dict[str, float]
    stage_joules: dict[str, float]

    @property
    def id(self) -> str: ...

    def fail(self, message: str, reason: Reason | None = None) -> None: ...


Item = TypeVar("Item", bound=Timed)
Input = TypeVar("Input")
Result = TypeVar("Result")
Stored = TypeVar("Stored")
Work = TypeVar("Work", bound=RowShard)


CODERS = ThreadPoolExecutor(4, "coding")
"""Decode and encode images beside the networks; Pillow lets other threads run meanwhile."""


def as_it_is(value: Any) -> Any:
    return value


def in_threads(function: Callable[[Any], Stored], value: Any) -> Future[Stored]:
    """What has nothing to do is done."""
    if function is not as_it_is:
        return CODERS.submit(function, value)
    done: Future[Stored] = Future()
    done.set_result(value)
    return done


class Stage(ABC, Generic[Work]):
    """One step of the pipeline. A sample that fails on its own is marked failed; any other error crashes the stage,
    since it means that an assumption is broken and not a sample."""

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]] = ()
    """Models that it asks for."""

    config: DatasetConfig
    """Of the run; a stage that only one job has says whose."""

    def __init__(self, config: DatasetConfig, models: ModelSet | None, progress: Progress, guard: Guard) -> None:
        """models: None for a stage without roles."""
        self.config = config
        self.progress = progress
        self.guard = guard
        self.meter: Meter = no_meter
        self._models = models

    @property
    def models(self) -> ModelSet:
        if self._models is None:
            raise RuntimeError(f"stage {self.name} asks for a model and names no roles")
        return self._models

    def load(self) -> None:
        """Loads its models now, and compiles what is to be compiled, so that no micro-batch's seconds and time limit
        pay for it."""
        for role in self.roles:
            self.models.warm_up(role, self.config.stage(self.name).batch_size)

    def __call__(self, shard: Work) -> Work:
        self.process(shard)
        shard.spread_failures()
        return shard

    @abstractmethod
    def process(self, shard: Work) -> None:
        """Fills this stage's fields of the open subjects and pairs."""

    def run(
        self,
        items: Sequence[Item],
        compute: Callable[[list[Input]], Sequence[Result | SampleError]],
        store: Callable[[Item, Stored], None],
        read: Callable[[Item], Input] = as_it_is,
        encode: Callable[[Result], Stored] = as_it_is,
    ) -> None:
        """Computes `items` in micro-batches and stores each result; a `SampleError` result fails its item alone.

        Every micro-batch has the same size, the last one padded with its last item: who the neighbours are then
        changes no bit of a result. Suspects (see `guard`) have a micro-batch of their own.

        Args:
            compute: gets what was read of each item.
            store: gets what was encoded of each result, in the order of the items.
            read, encode: pure; they run in threads while networks compute, for the next micro-batch and of the last.
        """
        settings, tries = self.config.stage(self.name), self.config.max_crashes
        size = settings.batch_size
        crashes = {item.id: self.guard.crashes_alone(self.name, item.id) for item in items}
        trusted = [item for item in items if crashes[item.id] is None]
        batches = [trusted[start : start + size] for start in range(0, len(trusted), size)]
        num_trusted = len(batches)
        for item in items:
            if (count := crashes[item.id]) is not None and count >= tries:
                item.fail(f"{self.name}: its process died {count} times while it was computed alone")
            elif count is not None:
                batches.append([item])
        inputs: list[Future[Input]] = []
        encoding: list[tuple[Item, Future[Stored]]] = []

        def finish() -> None:
            for item, stored in encoding:
                store(item, stored.result())
            encoding.clear()

        for number, batch in enumerate(batches):
            began, used = time.perf_counter(), self.meter()
            with self.guard.watch(self.name, [item.id for item in batch], settings.timeout_s):
                ready = [future.result() for future in inputs or [in_threads(read, item) for item in batch]]
                # a suspect is read under its own name alone
                ahead = batches[number + 1] if number + 1 < num_trusted else []
                inputs = [in_threads(read, item) for item in ahead]
                results = halving(compute, ready + [ready[-1]] * (size - len(ready)))
            finish()
            for item, result in zip(batch, results, strict=False):
                if isinstance(result, SampleError):
                    item.fail(f"{self.name}: {result}", result.reason)
                else:
                    encoding.append((item, in_threads(encode, result)))
            if number + 1 == len(batches):
                finish()
            elapsed, now = time.perf_counter() - began, self.meter()
            for item in batch:
                item.stage_s[self.name] = item.stage_s.get(self.name, 0.0) + elapsed / len(batch)
                if used is not None and now is not None:
                    joules = max(0.0, now - used) / len(batch)  # a driver that is loaded anew counts from 0
                    item.stage_joules[self.name] = item.stage_joules.get(self.name, 0.0) + joules
            self.progress(self.name, len(batch), elapsed)


StageTable = Mapping[str, type[Stage]]
"""Names and classes of stages, in the order of a pair's life."""
