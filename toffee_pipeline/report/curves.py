"""What other thresholds would accept, over the whole ledger: the yield of each alone, and two scores together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from toffee_pipeline.filters import SCORES, decide_all
from toffee_pipeline.report.bounds import Bound, bounds_of
from toffee_pipeline.report.distributions import axis_of, ticks_of
from toffee_pipeline.rundir.description import PairRun
from toffee_pipeline.rundir.recut import additions_of, is_judged, scores_of

NUM_POINTS = 80
NUM_CELLS = 30
TOGETHER = ("dino", "clip")
Ticks = tuple[tuple[float, str], ...]
"""Place on an axis, as a share of its length, and text."""


@dataclass(frozen=True)
class Curve:
    """Pairs that one threshold accepts wherever it is set, the others as they are. points: (place, share of the most).

    accepted: where it is set now; most: anywhere.
    """

    bound: Bound
    points: tuple[tuple[float, float], ...]
    threshold: float
    ticks: Ticks
    accepted: int
    most: int


@dataclass(frozen=True)
class Cell:
    """Pairs with two scores in these bins: places of its corner, 0..1, and how dark it is."""

    x: float
    y: float
    opacity: float
    title: str


@dataclass(frozen=True)
class HeatMap:
    """x_thresholds, y_thresholds: places. size: of a cell, as a share of either axis."""

    x_label: str
    y_label: str
    cells: tuple[Cell, ...]
    size: float
    x_ticks: Ticks
    y_ticks: Ticks
    x_thresholds: tuple[float, ...]
    y_thresholds: tuple[float, ...]


def curves_of(rows: pa.Table, run: PairRun) -> list[Curve]:
    """Of each threshold that is on, but for gates: what these stopped has no scores that could accept it. By scores
    alone: caps and images that were not kept are left out.

    rows: `index.COLUMNS` of the ledger. run: whose thresholds count.
    """
    judged, scores, kinds, additions = is_judged(rows), scores_of(rows), rows["kind"].to_numpy(), additions_of(rows)
    turned = additions >= 0
    curves = []
    for bound in bounds_of(run):
        if bound.score not in SCORES:
            continue
        rejection = bound.rejection
        others = run.config.stages.judge.model_copy(update={rejection.key: None})
        passes = judged & (decide_all(scores, others, kinds) == None)  # noqa: E711 (of each element)
        passes[turned] &= passes[additions[turned]]
        values = scores[bound.score.name].copy()
        if rejection.only is not None:
            values[kinds != rejection.only] = np.nan
        # a removal is accepted where its addition is too
        values[turned] = (np.fmax if rejection.above else np.fmin)(values[turned], values[additions[turned]])
        if not np.isfinite(values[passes]).any():
            continue
        without = int(np.isnan(values[passes]).sum())
        found = np.sort(values[passes & np.isfinite(values)])
        low, high, step = axis_of([found[0], found[-1], bound.threshold])
        places = np.linspace(0, 1, NUM_POINTS + 1)
        numbers = without + _allowed(found, low + places * (high - low), rejection.above)
        most = without + len(found)
        curves.append(
            Curve(
                bound=bound,
                points=tuple(
                    (float(place), float(number / most)) for place, number in zip(places, numbers, strict=True)
                ),
                threshold=(bound.threshold - low) / (high - low),
                ticks=_placed(low, high, step),
                accepted=without + int(_allowed(found, bound.threshold, rejection.above)),
                most=most,
            )
        )
    return curves


def _allowed(found: np.ndarray, thresholds: np.ndarray | float, above: bool) -> np.ndarray:
    """How many of the sorted values pass each threshold. above: it is the most that is allowed."""
    below = np.searchsorted(found, thresholds, "right" if above else "left")
    return np.asarray(below if above else len(found) - below)


def heat_map(rows: pa.Table, run: PairRun) -> HeatMap | None:
    """Of the two scores in `TOGETHER`, over all pairs that have both. As `curves_of`; None where no pair has."""
    x_score, y_score = (next(score for score in SCORES if score.name == name) for name in TOGETHER)
    scores = scores_of(rows)
    x, y = scores[x_score.name], scores[y_score.name]
    both = is_judged(rows) & np.isfinite(x) & np.isfinite(y)
    if not both.any():
        return None
    bounds = {score: [b.threshold for b in bounds_of(run) if b.score is score] for score in (x_score, y_score)}
    x_low, x_high, x_step = axis_of([x[both].min(), x[both].max(), *bounds[x_score]])
    y_low, y_high, y_step = axis_of([y[both].min(), y[both].max(), *bounds[y_score]])
    counts, x_edges, y_edges = np.histogram2d(x[both], y[both], NUM_CELLS, ((x_low, x_high), (y_low, y_high)))
    top = np.log1p(counts.max())
    return HeatMap(
        x_label=x_score.label,
        y_label=y_score.label,
        cells=tuple(
            Cell(
                x=float(i / NUM_CELLS),
                y=float(j / NUM_CELLS),
                opacity=float(np.log1p(counts[i, j]) / top),
                title=f"{x_score.label} {x_edges[i]:.3g}, {y_score.label} {y_edges[j]:.3g}: {counts[i, j]:.0f}",
            )
            for i, j in zip(*np.nonzero(counts), strict=True)
        ),
        size=1 / NUM_CELLS,
        x_ticks=_placed(x_low, x_high, x_step),
        y_ticks=_placed(y_low, y_high, y_step),
        x_thresholds=tuple((each - x_low) / (x_high - x_low) for each in bounds[x_score]),
        y_thresholds=tuple((each - y_low) / (y_high - y_low) for each in bounds[y_score]),
    )


def _placed(low: float, high: float, step: float) -> Ticks:
    return tuple(((tick - low) / (high - low), f"{tick:g}") for tick in ticks_of(low, high, step))
