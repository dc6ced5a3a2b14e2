"""What keeps one bad sample or GPU from ending a run: out of memory, a hang, an error of CUDA, a sample that takes its
process down.

A process that dies leaves behind what it had in flight. The `CrashRecord`, which outlives it, then lets the next try
run those samples one by one; crashes of a sample that was alone are counted, and with too many it is not run again.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from toffee_pipeline.errors import SampleError

T = TypeVar("T")
R = TypeVar("R")
Key = tuple[str, str]
"""A stage's name and the id of a subject or pair."""


class CrashRecord:
    """Which samples are in flight, and which were when a process died.

    On Ray it is an actor on the driver's node; it goes when the driver dies, which only costs a few more tries.
    """

    def __init__(self) -> None:
        self._in_flight: dict[int, list[Key]] = {}
        self._crashes_alone: dict[int, dict[Key, int]] = {}
        self._retries = 0

    def start(self, shard: int) -> dict[Key, int]:
        """A try at `shard` begins. Returns for each suspect of earlier tries how often its process died while it was
        computed alone; a suspect may have 0."""
        self._retries += shard in self._crashes_alone  # started and not finished: its process died
        suspects = self._crashes_alone.setdefault(shard, {})
        left = self._in_flight.pop(shard, [])
        for key in left:
            suspects[key] = suspects.get(key, 0) + (len(left) == 1)
        return dict(suspects)

    def retries(self) -> int:
        """Tries that began after a try at the same shard had died."""
        return self._retries

    def begin(self, shard: int, stage: str, ids: Sequence[str]) -> None:
        """These samples of `shard` are about to be computed."""
        self._in_flight[shard] = [(stage, sample) for sample in dict.fromkeys(ids)]

    def end(self, shard: int) -> None:
        """They are computed."""
        self._in_flight.pop(shard, None)

    def finish(self, shard: int) -> None:
        """The shard is through."""
        self._in_flight.pop(shard, None)
        self._crashes_alone.pop(shard, None)


class Guard(Protocol):
    """What a stage asks before and around each micro-batch."""

    def crashes_alone(self, stage: str, sample: str) -> int | None:
        """How often the sample was alone in a process that died; None for one that is above suspicion."""

    def watch(self, stage: str, ids: Sequence[str], timeout_s: float) -> Any:
        """A context in which the micro-batch is computed."""


class NoGuard:
    """In one process nothing outlives a crash, and a hang is the user's to interrupt."""

    def crashes_alone(self, stage: str, sample: str) -> int | None:
        return None

    @contextmanager
    def watch(self, stage: str, ids: Sequence[str], timeout_s: float) -> Iterator[None]:
        yield


@dataclass
class CrashGuard:
    """Guards the stages of one actor. `call` runs a method of the crash record and waits for its answer."""

    call: Callable[..., Any]
    shard: int = -1
    suspects: dict[Key, int] = field(default_factory=dict)

    def start(self, shard: int) -> None:
        self.shard, self.suspects = shard, self.call("start", shard)

    def crashes_alone(self, stage: str, sample: str) -> int | None:
        return self.suspects.get((stage, sample))

    @contextmanager
    def watch(self, stage: str, ids: Sequence[str], timeout_s: float) -> Iterator[None]:
        """Ends the process where the micro-batch takes longer than `timeout_s`."""
        self.call("begin", self.shard, stage, list(ids))
        with ended_after(timeout_s):
            yield
        self.call("end", self.shard)

    def finish(self) -> None:
        self.call("finish", self.shard)


@contextmanager
def ended_after(timeout_s: float) -> Iterator[None]:
    """Ends the process, with a traceback of every thread, where this takes longer.

    faulthandler's thread needs no GIL, so that it also ends a call that hangs inside a library.
    """
    faulthandler.dump_traceback_later(timeout_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def is_cuda_error(error: BaseException) -> bool:
    """Of the GPU, its driver or a kernel; after one nothing works any more on the GPU in this process. That its memory
    does not suffice is none."""
    return isinstance(error, RuntimeError) and str(error).startswith(("CUDA error", "CUDA driver error", "cuDNN error"))


@contextmanager
def ended_by_cuda_errors(tell: Callable[[str], object], has_computed: Callable[[], bool]) -> Iterator[None]:
    """Ends the process at an error of CUDA, as a crash would, so that Ray replaces it and the shard is tried again. It
    is raised where the stage has never computed anything: the installation or a setting may be wrong, for every GPU.

    Args:
        tell: brings a line to the user, before it returns.
        has_computed: whether the stage has, anywhere in this run.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_cuda_error(error):
            raise
        line = str(error).splitlines()[0]
        if not has_computed():
            tell(line)
            raise
        tell(f"{line}; its process is replaced")
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def halving(compute: Callable[[list[T]], Sequence[R | SampleError]], batch: list[T]) -> list[R | SampleError]:
    """Results of `batch`; where the GPU's memory does not suffice, of its halves, down to single samples.

    A sample that does not fit alone has a SampleError as its result.
    """
    try:
        return list(compute(batch))
    except Exception as error:
        torch = sys.modules.get("torch")  # without torch nothing fills the GPU's memory
        if torch is None or not isinstance(error, torch.OutOfMemoryError):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    # outside the except block, whose traceback would hold the big batch's tensors
    if len(batch) == 1:
        return [SampleError("out of memory, alone in its micro-batch")]
    middle = len(batch) // 2
    return halving(compute, batch[:middle]) + halving(compute, batch[middle:])
