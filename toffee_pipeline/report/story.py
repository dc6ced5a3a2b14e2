"""What the ledger knows of a row, in the order in which a reader wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toffee_pipeline.filters import REASONS
from toffee_pipeline.report.bounds import Bound, bounds_of
from toffee_pipeline.report.shard_rows import Row
from toffee_pipeline.rundir.description import DatasetRun

TOLD_APART = ("status", "reason", "error", "stage_s")
"""Columns of a ledger that are not listed among the others."""


@dataclass(frozen=True)
class Measured:
    """A score of a row, and the thresholds that it was held against."""

    label: str
    value: float
    bounds: tuple[Bound, ...]


@dataclass(frozen=True)
class Story:
    """verdict: in a sentence. columns: prompts, seeds, ids and all others that are not null. stage_s: the stages that
    took time, a subject's share in it."""

    verdict: str
    scores: tuple[Measured, ...]
    stage_s: dict[str, float]
    columns: dict[str, Any]


def tell(row: Row, run: DatasetRun) -> Story:
    """The story of one of the run's rows."""
    labels = {score.column: score.label for score in run.table.scores}
    bounds = bounds_of(run)
    return Story(
        verdict=_verdict(row, run),
        scores=tuple(
            Measured(label, row[column], tuple(bound for bound in bounds if bound.score.column == column))
            for column, label in labels.items()
            if row[column] is not None
        ),
        stage_s={stage: seconds for stage, seconds in (row["stage_s"] or {}).items() if seconds},
        columns={
            name: row[name]
            for name in run.table.ledger.names
            if name not in (*TOLD_APART, *labels) and row[name] is not None
        },
    )


def _verdict(row: Row, run: DatasetRun) -> str:
    if row["status"] == "failed":
        return f"failed: {row['error'] or 'no message'}"
    if row["status"] != "rejected":
        return row["status"]
    why = REASONS[row["reason"]].explain(run.config.stages)
    return f"rejected: {why}" + (f" ({row['error']})" if row["error"] else "")
