"""From the results of a sweep to a value: what it costs in one score and gives in another, and which pairs it saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toffee_pipeline.calibration.results import SIMILARITY
from toffee_pipeline.evaluation.estimate import Estimate, ratio

MEASURES = {SIMILARITY: "similarity", "dino": "DINO", "clip": "CLIP"}
"""Scores that are shown, with their labels."""
AXES = (SIMILARITY, "clip")
"""What a front is of: the subject kept, and the prompt followed. DINO has no say, since it sees what the Refiner paints
from."""
MIN_ERRORS = 2.0
"""Many values are tried on one sample: within one standard error chance alone would often choose."""
ROUNDING = 1e-9
"""Four subjects that agree are a tie, which no machine's last bit is to decide."""


@dataclass(frozen=True)
class Outcome:
    """A pair under one value. subject: its `subject_key`. scores: empty where it failed."""

    pair_id: str
    subject: str
    scores: Mapping[str, float]
    accepted: bool


@dataclass(frozen=True)
class Figures:
    """means: of each of MEASURES, over the pairs that have scores under every value. accepted: share of all pairs.

    Errors are over subjects.
    """

    means: dict[str, Estimate]
    accepted: Estimate


@dataclass(frozen=True)
class Choice:
    """gain: what the value accepts more than the own one, as a share of the pairs. front: values that no other beats in
    one of AXES without losing in the other, in their order."""

    own: float
    value: float
    gain: Estimate
    front: tuple[float, ...]
    figures: dict[float, Figures]
    num_pairs: int


def choose(outcomes: Mapping[float, Sequence[Outcome]], own: float) -> Choice:
    """The value of the front that accepts most, where it accepts more than the own one by more than chance; else the
    own one. outcomes: by value, of the same pairs in the same order."""
    scored = set.intersection(*({each.pair_id for each in rows if each.scores} for rows in outcomes.values()))
    figures = {value: figures_of(outcomes[value], scored) for value in sorted(outcomes)}
    front = tuple(
        value
        for value, own_figures in figures.items()
        if not any(_beats(each, own_figures) for each in figures.values())
    )
    best = max(front, key=lambda value: (figures[value].accepted.value, value == own, -abs(value - own)))
    gain = gain_of(outcomes[own], outcomes[best])
    if not _exceeds_chance(gain):
        best, gain = own, gain_of(outcomes[own], outcomes[own])
    return Choice(own, best, gain, front, figures, len(outcomes[own]))


def figures_of(outcomes: Sequence[Outcome], scored: set[str]) -> Figures:
    """scored: ids of the pairs whose scores count."""
    compared = [each for each in outcomes if each.pair_id in scored]
    return Figures(
        {name: _over_subjects([(each.subject, each.scores[name]) for each in compared]) for name in MEASURES},
        _over_subjects([(each.subject, float(each.accepted)) for each in outcomes]),
    )


def gain_of(before: Sequence[Outcome], after: Sequence[Outcome]) -> Estimate:
    """The share of pairs that are accepted after less that before; its error is that of the paired difference."""
    pairs = zip(before, after, strict=True)
    return _over_subjects([(old.subject, float(new.accepted) - float(old.accepted)) for old, new in pairs])


def _exceeds_chance(gain: Estimate) -> bool:
    """Whether it is more than MIN_ERRORS standard errors with one subject more that gains and one that loses (Bonett
    and Price 2012). Where few subjects agree, their own error is 0."""
    subjects = [each for each in gain.seeds if each is not None] + [1.0, -1.0]
    doubted = ratio(subjects, [1.0] * len(subjects))
    assert doubted.error is not None  # of two or more
    return gain.value > 0 and doubted.value > MIN_ERRORS * doubted.error + ROUNDING  # pairs and subjects may disagree


def _beats(one: Figures, other: Figures) -> bool:
    """Whether it is as good in all of AXES and better in one."""
    pairs = [(one.means[name].value, other.means[name].value) for name in AXES]
    return all(mine >= its for mine, its in pairs) and any(mine > its for mine, its in pairs)


def _over_subjects(values: Sequence[tuple[str, float]]) -> Estimate:
    """The mean of (subject, value)."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for subject, value in values:
        sums[subject] = sums.get(subject, 0.0) + value
        counts[subject] = counts.get(subject, 0) + 1
    return ratio(list(sums.values()), list(counts.values()))
