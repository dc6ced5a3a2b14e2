"""What every plan is: shards of whole subjects, each computed from its number alone."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Protocol, TypeVar

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import PlanError

PLAN_VERSION = 4


class ListedSource(Protocol):
    """What a config only names, as a list. A run keeps it, and goes on with the same one only."""

    @property
    def digest(self) -> str | None: ...

    def to_bytes(self) -> bytes: ...

    def change(self, listed: bytes, name: str) -> str | None:
        """One line about the first difference to an earlier list, None where there is none. name: of its file."""


WIDE, MAX_SUBJECTS = 64, 16
"""Shards that a run has before its shards grow, and subjects of a shard at most, where the config names no size."""


def subjects_per_shard(config: DatasetConfig, num_subjects: int) -> int:
    """num_subjects: of the whole plan."""
    return config.subjects_per_shard or max(1, min(MAX_SUBJECTS, -(-num_subjects // WIDE)))


MAX_SHARDS, MAX_SHARD_ROWS = 10**6, 10**5
"""Of a plan, and of a shard: whoever reads or makes a run holds a little for every shard, and the rows of one."""


class ShardPlan(ABC):
    """`len(plan)` is the number of shards, `plan.rows(k)` computes one of them. source: where subjects come from."""

    source: object

    def __init__(self, config: DatasetConfig, num_subjects: int) -> None:
        self.config, self.num_subjects = config, num_subjects
        self.subjects_per_shard = subjects_per_shard(config, num_subjects)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the user about what of their material is left out."""
        return ()

    def __len__(self) -> int:
        return -(-self.num_subjects // self.subjects_per_shard)

    @property
    @abstractmethod
    def num_rows(self) -> int:
        """Of the ledger."""

    @abstractmethod
    def num_rows_of(self, index: int) -> int:
        """Rows of shard `index`."""

    @abstractmethod
    def rows(self, index: int) -> list[dict[str, Any]]:
        """The planned columns of the rows of shard `index`. Cost: O(shard)."""

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """Everything that decides what is planned, as JSON."""

    @cached_property
    def hash(self) -> str:
        """Of everything that decides the plan's content, what a source lists included. A setting at its default
        does not count, so that one which is added later changes no plan."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:16]

    def numbers(self, index: int) -> range:
        """Those of the subjects of shard `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"shard {index} of a plan of {len(self)}")
        size = self.subjects_per_shard
        return range(index * size, min((index + 1) * size, self.num_subjects))


P = TypeVar("P", bound=ShardPlan)


def bounded(plan: P) -> P:
    """The plan. Raises PlanError where it has more than `MAX_SHARDS`, or more than `MAX_SHARD_ROWS` in one."""
    if len(plan) > MAX_SHARDS:
        raise PlanError(f"the plan has {len(plan)} shards; allowed are {MAX_SHARDS}: raise subjects_per_shard")
    if plan.num_rows_of(0) > MAX_SHARD_ROWS:
        raise PlanError(
            f"a shard has {plan.num_rows_of(0)} rows; allowed are {MAX_SHARD_ROWS}: lower subjects_per_shard, or the "
            "rows of a subject"
        )
    return plan
