"""Figures of an evaluation from the scores of its pictures: means with a bootstrap interval over subjects.

A picture that failed has no score and counts among the failed; it is never scored as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toffee_pipeline.evaluation.published import TOLERANCE

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)
"""Percentiles."""
Row = Mapping[str, Any]
"""Of the ledger."""


@dataclass(frozen=True)
class Figure:
    """A mean; None where there is no value. low, high: its 95 % interval, of resampled subjects; None with fewer than
    two. num: of so many values."""

    value: float | None
    low: float | None
    high: float | None
    num: int


@dataclass(frozen=True)
class Group:
    """Figures of some pictures by column. num_planned, num_failed: pictures."""

    name: str
    num_planned: int
    num_failed: int
    figures: dict[str, Figure]


@dataclass(frozen=True)
class SelfTest:
    """Real against real: what was found, and what is expected, by metric; None where nothing is known. source: where
    that stands, or why nothing is known."""

    found: dict[str, Figure]
    expected: dict[str, float] | None
    source: str

    @property
    def holds(self) -> bool | None:
        """None where nothing is expected."""
        if self.expected is None:
            return None
        values = {name: self.found[name].value for name in self.expected}
        return all(
            value is not None and abs(value - self.expected[name]) <= TOLERANCE for name, value in values.items()
        )


def mean(values: Sequence[float | None], subjects: Sequence[str]) -> Figure:
    """values: one per picture; None and NaN where there is no score. subjects: whose picture it is.

    The order of pictures changes nothing.
    """
    by_subject: dict[str, list[float]] = {}
    for value, subject in zip(values, subjects, strict=True):
        if value is not None and math.isfinite(value):
            by_subject.setdefault(subject, []).append(value)
    if not by_subject:
        return Figure(None, None, None, 0)
    known = [by_subject[subject] for subject in sorted(by_subject)]
    sums, counts = np.array([math.fsum(some) for some in known]), np.array([len(some) for some in known])
    value, num = math.fsum(sums) / counts.sum(), int(counts.sum())
    if len(known) < 2:
        return Figure(float(value), None, None, num)
    drawn = np.random.default_rng(0).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), INTERVAL)
    return Figure(float(value), float(low), float(high), num)


def mean_of_subjects(values: Sequence[float | None], subjects: Sequence[str]) -> Figure:
    """As `mean`, and every subject counts the same: of real pictures one has more than the other, of drawn ones not."""
    by_subject: dict[str, list[float]] = {}
    for value, subject in zip(values, subjects, strict=True):
        if value is not None and math.isfinite(value):
            by_subject.setdefault(subject, []).append(value)
    return mean([math.fsum(some) / len(some) for some in by_subject.values()], list(by_subject))


def group(name: str, rows: Sequence[Row], columns: Iterable[str]) -> Group:
    """Figures of these rows by column."""
    subjects = [row["subject_id"] for row in rows]
    failed = sum(row["status"] == "failed" for row in rows)
    return Group(name, len(rows), failed, {column: mean([row[column] for row in rows], subjects) for column in columns})


def groups_by(key: str, rows: Sequence[Row], columns: Sequence[str]) -> list[Group]:
    """One per value of the column `key`, sorted."""
    names = sorted({row[key] for row in rows})
    return [group(str(name), [row for row in rows if row[key] == name], columns) for name in names]


def self_test(
    rows: Sequence[Row], columns: Mapping[str, str], expected: Mapping[str, float] | None, source: str
) -> SelfTest:
    """rows: of real pictures. columns: metric to its column. expected, source: as in `SelfTest`."""
    subjects = [row["subject_id"] for row in rows]
    found = {name: mean_of_subjects([row[column] for row in rows], subjects) for name, column in columns.items()}
    return SelfTest(found, None if expected is None else dict(expected), source)
