"""The thresholds that a run judges by."""

from __future__ import annotations

from dataclasses import dataclass

from toffee_pipeline.filters import Rejection, Score
from toffee_pipeline.rundir.description import DatasetRun


@dataclass(frozen=True)
class Bound:
    """A threshold that is on."""

    score: Score
    rejection: Rejection
    threshold: float

    @property
    def allowed(self) -> str:
        return f"at {'most' if self.rejection.above else 'least'} {self.threshold:g}"


def bounds_of(run: DatasetRun) -> tuple[Bound, ...]:
    """In the order in which they judge."""
    return tuple(
        Bound(score, rejection, threshold)
        for score in run.table.scores
        for rejection in score.bounds
        if rejection.stage in type(run.config.stages).model_fields  # given pairs have no gates
        if (threshold := getattr(getattr(run.config.stages, rejection.stage), rejection.key)) is not None
    )
