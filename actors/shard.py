"""A shard on its way through the stages: the unit of work and of commit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from imagehash import ImageHash

from toffee_pipeline.filters import Reason
from toffee_pipeline.images import decode, decode_depth, decode_mask
from toffee_pipeline.pixels import perceptual_hash
from toffee_pipeline.plan.subjects import SubjectPlan
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject
from toffee_pipeline.schema.table import Status

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value; a stage that asks for what no earlier stage filled is a broken pipeline, not a bad sample."""
    if value is None:
        raise RuntimeError("a stage ran before the one that fills its input")
    return value


@dataclass(kw_only=True)
class RowState:
    """What becomes of a pair, or of a subject. scores: by the names of `filters.SCORES`, or of `SUBJECT_SCORES`.
    stage_joules: of the whole GPU meanwhile, where it counts them."""

    status: Status = "ok"
    reason: Reason | None = None
    error: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    stage_s: dict[str, float] = field(default_factory=dict)
    stage_joules: dict[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        raise NotImplementedError

    def fail(self, message: str, reason: Reason | None = None) -> None:
        """Failed; or rejected where there is a reason, with the message beside it."""
        self.status, self.reason, self.error = "rejected" if reason else "failed", reason, message

    def reject(self, reason: Reason) -> None:
        self.status, self.reason = "rejected", reason


@dataclass
class SubjectState(RowState):
    """What is computed once per subject and shared by its pairs. Images, mask and depth are PNG bytes.

    mask_reason: why the mask cannot carry an edit.
    tokens: float16 (1 + n, c), DINO's; only the stages from refine to view hold them.
    """

    subject: Subject
    image: bytes | None = None
    mask: bytes | None = None
    mask_reason: Reason | None = None
    depth: bytes | None = None
    tokens: np.ndarray | None = None

    @property
    def id(self) -> str:
        return self.subject.subject_id

    def rgb(self) -> np.ndarray:
        """The subject's image, uint8 (H, W, 3)."""
        return decode(present(self.image))

    @cached_property
    def perceptual_hash(self) -> ImageHash:
        """Of the subject's image."""
        return perceptual_hash(self.rgb())

    def inverse_depth(self) -> np.ndarray:
        """float32 (H, W) in 0..1."""
        return decode_depth(present(self.depth))

    def bool_mask(self) -> np.ndarray | None:
        """bool (H, W), None where the subject was not found."""
        return None if self.mask is None else decode_mask(self.mask)


@dataclass
class PairState(RowState):
    """One planned pair and its images as PNG bytes. draft_mask: the subject's in a draft with a layout of its own."""

    pair: Pair
    draft: bytes | None = None
    target: bytes | None = None
    input: bytes | None = None
    edit_mask: bytes | None = None
    draft_mask: bytes | None = None

    @property
    def id(self) -> str:
        return self.pair.pair_id

    def follow(self, added: PairState) -> None:
        """Ends as the addition that this removal turns round, where that one has nothing to turn round."""
        if added.status == "failed":
            self.fail(f"its addition {added.id} failed: {added.error}")
        elif added.status == "rejected":
            self.reject("not_added")

    def draft_rgb(self) -> np.ndarray:
        return decode(present(self.draft))

    def bool_edit_mask(self) -> np.ndarray | None:
        """bool (H, W), None for a generation pair."""
        return None if self.edit_mask is None else decode_mask(self.edit_mask)

    def bool_draft_mask(self) -> np.ndarray | None:
        """bool (H, W), None where the draft has its subject's layout."""
        return None if self.draft_mask is None else decode_mask(self.draft_mask)


class RowShard(ABC):
    """What every shard is to executors and stages."""

    index: int

    @property
    @abstractmethod
    def rows(self) -> Sequence[RowState]:
        """What the ledger has a row of."""

    def open_rows(self) -> list[RowState]:
        """Rows that still need work; the others cost nothing any more."""
        return [state for state in self.rows if state.status == "ok"]

    @abstractmethod
    def spread_failures(self) -> None:
        """Fails rows whose subject has failed. Called after each stage."""


@dataclass
class Shard(RowShard):
    """The unit of work and of commit: whole subjects with all their pairs. Of a subject bank, subjects alone."""

    index: int
    subjects: dict[str, SubjectState]
    pairs: list[PairState]

    @classmethod
    def from_plan(cls, plan: SubjectPlan, index: int) -> Shard:
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

    def pairs_to_paint(self, kind: str | None = None) -> list[PairState]:
        """Open pairs with a target of their own: not those that turn another pair round."""
        return [state for state in self.open_pairs(kind) if state.pair.reversed_from is None]

    @property
    def rows(self) -> Sequence[RowState]:
        """What the ledger has a row of: the pairs; of a bank the subjects."""
        return self.pairs or list(self.subjects.values())

    def open_subjects(self) -> list[SubjectState]:
        """Subjects that at least one open pair needs; of a bank those that still need work."""
        needed = {state.pair.subject_id for state in self.open_pairs()}
        return [
            state
            for subject_id, state in self.subjects.items()
            if state.status == "ok" and (subject_id in needed or not self.pairs)
        ]

    def spread_failures(self) -> None:
        for state in self.open_pairs():
            subject = self.subject_of(state)
            if subject.error is not None:
                state.fail(subject.error, subject.reason)
