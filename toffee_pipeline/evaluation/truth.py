"""Pair truth: whether pairs show the change that they name, on the subject that they name; and the figures of many.

A verdict rests on a judge that had no part in making or filtering the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toffee_pipeline.config.base import CATEGORIES, Category, Kind
from toffee_pipeline.evaluation.estimate import Estimate, ratio

KINDS: tuple[Kind, ...] = ("generation", "edit")


@dataclass(frozen=True)
class Verdict:
    """What the judge says of a pair that has pictures.

    shown: the target shows the change. kept: its subject is the pair's. error: mean absolute difference to the oracle
    inside the pair's mask, in grey levels, 0..255.

    The others tell what the judge is worth here: shown_in_oracle and kept_in_oracle are the same of the truth in
    another light, a little soft; shown_before is `shown` of the picture before the change.
    """

    shown: bool
    kept: bool
    error: float
    shown_in_oracle: bool
    shown_before: bool
    kept_in_oracle: bool

    @property
    def true(self) -> bool:
        return self.shown and self.kept


@dataclass(frozen=True)
class Judged:
    """A planned pair of a run. verdict: None where it was rejected before it had a target, or failed."""

    run: int
    kind: Kind
    category: Category
    status: str
    verdict: Verdict | None = None

    @property
    def accepted(self) -> bool:
        return self.status == "accepted"


@dataclass(frozen=True)
class Truth:
    """Figures of some pairs; error bars are over the runs.

    accepted: share of the planned. shown, kept, true: shares of the accepted; true is both. error: mean over those with
    pictures. refused: share of the true ones that the filter refused. shown_in_oracle, shown_before, kept_in_oracle:
    shares of those with pictures, the most and the least that the judge lets one expect.
    """

    kind: Kind | None
    category: Category | None
    num_planned: int
    num_with_pictures: int
    num_accepted: int
    num_true: int
    accepted: Estimate
    shown: Estimate
    kept: Estimate
    true: Estimate
    error: Estimate
    refused: Estimate
    shown_in_oracle: Estimate
    shown_before: Estimate
    kept_in_oracle: Estimate


def mask_error(target: np.ndarray, oracle: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference of two uint8 (H, W, 3) inside a bool (H, W), in grey levels; 0 in an empty mask."""
    return float(np.abs(target.astype(float) - oracle)[mask].mean()) if mask.any() else 0.0


def figures(pairs: Sequence[Judged]) -> list[Truth]:
    """Of all pairs, of each kind, and of each of its categories that has pairs."""
    found = [_truth(None, None, pairs)]
    for kind in KINDS:
        for category in (None, *CATEGORIES):
            some = [pair for pair in pairs if pair.kind == kind and category in (None, pair.category)]
            if some:
                found.append(_truth(kind, category, some))
    return found


def _truth(kind: Kind | None, category: Category | None, pairs: Sequence[Judged]) -> Truth:
    judged = [(pair, pair.verdict) for pair in pairs if pair.verdict is not None]
    accepted = [(pair, verdict) for pair, verdict in judged if pair.accepted]
    true = [(pair, verdict) for pair, verdict in judged if verdict.true]

    def mean(some: Sequence[tuple[Judged, Verdict]], value: Callable[[Verdict], float]) -> Estimate:
        return _over_runs([(pair.run, value(verdict)) for pair, verdict in some])

    return Truth(
        kind,
        category,
        num_planned=len(pairs),
        num_with_pictures=len(judged),
        num_accepted=sum(pair.accepted for pair in pairs),
        num_true=len(true),
        accepted=_over_runs([(pair.run, pair.accepted) for pair in pairs]),
        shown=mean(accepted, lambda verdict: verdict.shown),
        kept=mean(accepted, lambda verdict: verdict.kept),
        true=mean(accepted, lambda verdict: verdict.true),
        error=mean(judged, lambda verdict: verdict.error),
        refused=_over_runs([(pair.run, not pair.accepted) for pair, _ in true]),
        shown_in_oracle=mean(judged, lambda verdict: verdict.shown_in_oracle),
        shown_before=mean(judged, lambda verdict: verdict.shown_before),
        kept_in_oracle=mean(judged, lambda verdict: verdict.kept_in_oracle),
    )


def _over_runs(values: Sequence[tuple[int, float]]) -> Estimate:
    runs = sorted({run for run, _ in values})
    of_run = [[value for number, value in values if number == run] for run in runs]
    return ratio([sum(some) for some in of_run], [len(some) for some in of_run])
