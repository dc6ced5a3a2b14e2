"""How the scores of a run are spread, with the thresholds, as shapes for a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from toffee_pipeline.filters import Score
from toffee_pipeline.report.bounds import Bound
from toffee_pipeline.report.shard_rows import Row

NUM_BINS = 40
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Bar:
    """Pairs of one bin. accepted, rejected: heights as shares of the highest bar; the second stands on the first."""

    left: float
    width: float
    accepted: float
    rejected: float
    title: str


@dataclass(frozen=True)
class Distribution:
    """Of one score over the rows that have it. All places on the axis are shares of its length, 0..1."""

    label: str
    num_rows: int
    median: float
    bars: tuple[Bar, ...]
    thresholds: tuple[tuple[float, Bound], ...]
    ticks: tuple[tuple[float, str], ...]


def distribution(rows: Iterable[Row], score: Score, bounds: Iterable[Bound]) -> Distribution | None:
    """None where no row has the score. bounds: those of this score are drawn in."""
    scored = [(row[score.column], row["status"] == "accepted") for row in rows if row[score.column] is not None]
    values = np.array([value for value, _ in scored], np.float64)
    accepted = np.array([kept for _, kept in scored], bool)
    if not np.isfinite(values).any():
        return None
    values, accepted = values[np.isfinite(values)], accepted[np.isfinite(values)]
    own = [bound for bound in bounds if bound.score is score]
    low, high, step = axis_of([*values, *(bound.threshold for bound in own)])
    edges = np.linspace(low, high, NUM_BINS + 1)
    kept, refused = (np.histogram(values[mask], edges)[0] for mask in (accepted, ~accepted))
    top = max(1, int((kept + refused).max()))

    def place(value: float) -> float:
        return (value - low) / (high - low)

    return Distribution(
        label=score.label,
        num_rows=len(values),
        median=float(np.median(values)),
        bars=tuple(
            Bar(
                left=place(edges[index]),
                width=1 / NUM_BINS,
                accepted=kept[index] / top,
                rejected=refused[index] / top,
                title=f"{edges[index]:.3g} to {edges[index + 1]:.3g}: {kept[index]} accepted, {refused[index]} not",
            )
            for index in range(NUM_BINS)
            if kept[index] + refused[index]
        ),
        thresholds=tuple((place(bound.threshold), bound) for bound in own),
        ticks=tuple((place(tick), f"{tick:g}") for tick in ticks_of(low, high, step)),
    )


def axis_of(values: list[float]) -> tuple[float, float, float]:
    """Ends that hold all values, on whole steps of about a quarter of their span, and the step."""
    low, high = min(values), max(values)
    rough = max(high - low, 1e-3) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = power * next(each for each in STEPS if each * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, max(last, first + 1) * step, step


def ticks_of(low: float, high: float, step: float) -> list[float]:
    """The whole steps on an axis."""
    return [round(low + index * step, 10) for index in range(round((high - low) / step) + 1)]
