"""A sweep: one setting under several values, its pairs in groups that choose on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toffee_pipeline.calibration.choose import Choice, Outcome, choose
from toffee_pipeline.calibration.knobs import C, Knob
from toffee_pipeline.calibration.results import PairResult, verdicts
from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import JudgeConfig
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subject_key import subject_key
from toffee_pipeline.schema.subjects import Subject

ALL = "all"
"""The one group of a setting that has no value per category."""
Results = Mapping[str, PairResult]
"""By pair id, of all pairs of the sample."""


@dataclass(frozen=True)
class Sweep:
    """values: of the trials, of which None is the config as the sweeps before left it. choices: by category, or of ALL;
    none where no pair of the sample feels the setting. touched: ids of the pairs that differ."""

    knob: Knob
    trials: Mapping[float | None, Results]
    choices: Mapping[str, Choice]
    touched: frozenset[str]

    def chosen(self) -> dict[Category, float]:
        """The values for `Knob.turned` and `Knob.settings`."""
        if not self.knob.by_category:
            return dict.fromkeys(CATEGORIES, self.choices[ALL].value)
        return {category: self.choices[category].value for category in CATEGORIES if category in self.choices}


def trials_of(knob: Knob, config: C, values: Sequence[float]) -> dict[float | None, C]:
    """The configs to try; None: the config as it is."""
    return {None: config} | {value: knob.turned(config, dict.fromkeys(CATEGORIES, value)) for value in values}


def outcomes_of(
    pairs: Sequence[Pair], subjects: Mapping[str, Subject], results: Results, judge: JudgeConfig
) -> list[Outcome]:
    """One per pair, in their order. subjects: by id."""
    accepted = verdicts(pairs, results, judge)
    keys = {id: subject_key(subject) for id, subject in subjects.items()}
    return [
        Outcome(pair.pair_id, keys[pair.subject_id], results[pair.pair_id].scores, accepted[pair.pair_id])
        for pair in pairs
    ]


def judge_sweep(
    knob: Knob,
    config: RunConfig,
    pairs: Sequence[Pair],
    subjects: Mapping[str, Subject],
    trials: Mapping[float | None, Results],
    judge: JudgeConfig,
) -> Sweep:
    """Which value each group of pairs is best off with.

    Args:
        config: of the trial None.
        pairs, subjects: the sample; subjects by id.
        judge: what counts as accepted.
    """
    outcomes = {value: outcomes_of(pairs, subjects, results, judge) for value, results in trials.items()}
    touched = [pair for pair in pairs if len({results[pair.pair_id].key for results in trials.values()}) > 1]
    drawn = {pair.pair_id: pair for pair in pairs}
    groups: dict[str, list[Pair]] = {}
    for pair in touched:
        # what turns an addition round is chosen with it
        category = drawn[pair.reversed_from].category if pair.reversed_from else pair.category
        groups.setdefault(category if knob.by_category else ALL, []).append(pair)

    choices = {}
    for name, chosen in groups.items():
        category = next(each for each in CATEGORIES if name in (ALL, each))
        own = knob.of(config, category, category)
        ids = {pair.pair_id for pair in chosen}
        by_value = {
            own if value is None else value: [each for each in found if each.pair_id in ids]
            for value, found in outcomes.items()
        }
        choices[name] = choose(by_value, own)
    return Sweep(knob, trials, choices, frozenset(pair.pair_id for pair in touched))
