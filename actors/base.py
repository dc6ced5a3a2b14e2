"""A shard on its way through the stages, and what every stage shares: micro-batches, timing, failures."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import numpy as np

from actors.guard import Guard, halving
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import StageConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import decode, decode_depth, decode_mask
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.schema import Pair, Reason, Status, Subject

if TYPE_CHECKING:  # a writer unpickles shards and should not load torch for it
    from toffee_pipeline.models.model_set import ModelSet

T = TypeVar("T")
Progress = Callable[[str, int, float], None]
"""Called after each micro-batch with the stage's name, its rows and its seconds."""


def present(value: T | None) -> T:
    """The value; a stage that asks for what no earlier stage filled is a broken pipeline, not a bad sample."""
    if value is None:
        raise RuntimeError("a stage ran before the one that fills its input")
    return value


@dataclass
class SubjectState:
    """What is computed once per subject and shared by its pairs. Images, mask and depth are PNG bytes.

    tokens: float16 (1 + n, c), DINO's; only the stages from refine to view hold them.
    """

    subject: Subject
    error: str | None = None
    rejected_as: Reason | None = None
    image: bytes | None = None
    mask: bytes | None = None
    mask_reason: Reason | None = None
    depth: bytes | None = None
    tokens: np.ndarray | None = None
    stage_s: dict[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.subject.subject_id

    def fail(self, message: str, reason: Reason | None = None) -> None:
        self.error, self.rejected_as = message, reason

    def rgb(self) -> np.ndarray:
        """The subject's image, uint8 (H, W, 3)."""
        return decode(present(self.image))

    def inverse_depth(self) -> np.ndarray:
        """float32 (H, W) in 0..1."""
        return decode_depth(present(self.depth))

    def bool_mask(self) -> np.ndarray | None:
        """bool (H, W), None where the subject was not found."""
        return None if self.mask is None else decode_mask(self.mask)


@dataclass
class PairState:
    """One planned pair: its status and its images as PNG bytes."""

    pair: Pair
    status: Status = "ok"
    reason: Reason | None = None
    error: str | None = None
    draft: bytes | None = None
    target: bytes | None = None
    input: bytes | None = None
    edit_mask: bytes | None = None
    dino_score: float | None = None
    clip_score: float | None = None
    stage_s: dict[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.pair.pair_id

    def fail(self, message: str, reason: Reason | None = None) -> None:
        """Failed; or rejected where there is a reason, with the message beside it."""
        self.status, self.reason, self.error = "rejected" if reason else "failed", reason, message

    def draft_rgb(self) -> np.ndarray:
        return decode(present(self.draft))

    def reject(self, reason: Reason) -> None:
        self.status, self.reason = "rejected", reason


@dataclass
class Shard:
    """The unit of work and of commit: whole subjects with all their pairs."""

    index: int
    subjects: dict[str, SubjectState]
    pairs: list[PairState]

    @classmethod
    def from_plan(cls, plan: Plan, index: int) -> Shard:
        subjects, pairs = plan.shard(index)
        return cls(
            index,
            {subject.subject_id: SubjectState(subject) for subject in subjects},
            [PairState(pair) for pair in pairs],
        )

    def subject_of(self, state: PairState) -> SubjectState:
        return self.subjects[state.pair.subject_id]

    def open_pairs(self, kind: str | None = None) -> list[PairState]:
        """Pairs that still need work; the others cost nothing any more."""
        return [state for state in self.pairs if state.status == "ok" and kind in (None, state.pair.kind)]

    def open_subjects(self) -> list[SubjectState]:
        """Subjects that at least one open pair needs."""
        needed = {state.pair.subject_id for state in self.open_pairs()}
        return [state for subject_id, state in self.subjects.items() if subject_id in needed]

    def fail_pairs_of_failed_subjects(self) -> None:
        for state in self.open_pairs():
            subject = self.subject_of(state)
            if subject.error is not None:
                state.fail(subject.error, subject.rejected_as)


class Timed(Protocol):
    """What runs through a micro-batch: a subject's or a pair's state."""

    stage_s: dict[str, float]

    @property
    def id(self) -> str: ...

    def fail(self, message: str, reason: Reason | None = None) -> None: ...


Item = TypeVar("Item", bound=Timed)
Result = TypeVar("Result")


class Stage(ABC):
    """One step of the pipeline. A sample that fails on its own is marked failed; any other error crashes the stage,
    since it means that an assumption is broken and not a sample."""

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]] = ()
    """Models that it asks for."""

    def __init__(self, config: RunConfig, models: ModelSet, progress: Progress, guard: Guard) -> None:
        self.config = config
        self.models = models
        self.progress = progress
        self.guard = guard
        self.settings: StageConfig = config.stage(self.name)

    def load(self) -> None:
        """Loads its models now, so that no micro-batch's seconds and time limit pay for it."""
        for role in self.roles:
            getattr(self.models, role)

    def __call__(self, shard: Shard) -> Shard:
        self.process(shard)
        shard.fail_pairs_of_failed_subjects()
        return shard

    @abstractmethod
    def process(self, shard: Shard) -> None:
        """Fills this stage's fields of the open subjects and pairs."""

    def run(
        self,
        items: Sequence[Item],
        compute: Callable[[list[Item]], Sequence[Result | SampleError]],
        store: Callable[[Item, Result], None],
    ) -> None:
        """Computes `items` in micro-batches and stores each result; a `SampleError` result fails its item alone.

        Every micro-batch has the same size, the last one padded with its last item: who the neighbours are then
        changes no bit of a result. Suspects (see `guard`) have a micro-batch of their own.
        """
        size, tries = self.settings.batch_size, self.config.max_crashes
        strikes = {item.id: self.guard.strikes(self.name, item.id) for item in items}
        trusted = [item for item in items if strikes[item.id] is None]
        batches = [trusted[start : start + size] for start in range(0, len(trusted), size)]
        for item in items:
            if (count := strikes[item.id]) is not None and count >= tries:
                item.fail(f"{self.name}: its process died {count} times while it was computed alone")
            elif count is not None:
                batches.append([item])
        for batch in batches:
            began = time.perf_counter()
            padded = batch + [batch[-1]] * (size - len(batch))
            with self.guard.watch(self.name, [item.id for item in batch], self.settings.timeout_s):
                results = halving(compute, padded)
            for item, result in zip(batch, results, strict=False):
                if isinstance(result, SampleError):
                    item.fail(f"{self.name}: {result}", result.reason)
                else:
                    store(item, result)
            elapsed = time.perf_counter() - began
            for item in batch:
                item.stage_s[self.name] = item.stage_s.get(self.name, 0.0) + elapsed / len(batch)
            self.progress(self.name, len(batch), elapsed)
