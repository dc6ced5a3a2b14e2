"""Figures with error bars: one number from some pairs of several seeds, and how far seeds let it vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A figure over all seeds.

    value: over all pairs; NaN where there are none.
    error: standard error over seeds, None with fewer than two seeds that have such pairs.
    seeds: the figure of each seed, None for a seed without such pairs.
    """

    value: float
    error: float | None
    seeds: tuple[float | None, ...]


def ratio(numerators: Sequence[float] | np.ndarray, denominators: Sequence[float] | np.ndarray) -> Estimate:
    """The ratio of two sums, with the linearised error of a ratio estimator (Cochran, Sampling Techniques, chapter 6).

    A mean is the ratio of a sum and a count. A ratio of sums, and not the mean of the seeds' ratios: a seed with few
    pairs then counts for as little as it knows.

    Args:
        numerators, denominators: one term of each per seed; a seed whose denominator is 0 has nothing to say.

    Raises:
        ValueError: not as many of the one as of the other.
    """
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    seeds = tuple(float(a / b) if b else None for a, b in zip(top, bottom, strict=True))
    total, used = bottom.sum(), int((bottom != 0).sum())
    if total == 0:
        return Estimate(float("nan"), None, seeds)
    value = top.sum() / total
    if used < 2:
        return Estimate(float(value), None, seeds)
    squares = ((top - value * bottom) ** 2).sum() * used / (used - 1)
    return Estimate(float(value), float(np.sqrt(squares) / abs(total)), seeds)
