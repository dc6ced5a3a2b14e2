"""What lies in the directory of a calibration: which it is, what it found, and the overlay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import yaml

from toffee_pipeline.calibration.choose import Figures, figures_of, gain_of
from toffee_pipeline.calibration.sweep import Results, Sweep, outcomes_of
from toffee_pipeline.calibration.thresholds import Proposal, found
from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.config.stages import JudgeConfig
from toffee_pipeline.evaluation.estimate import Estimate
from toffee_pipeline.plan.shards import ShardPlan
from toffee_pipeline.rundir.description import RunHeader
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subject_key import num_distinct
from toffee_pipeline.schema.subjects import Subject

JOB = "calibrate"
SHARED = "shared.arrow"
"""What all settings share: subjects, masks, depth, tokens and views, as a shard's bytes."""
ENCODERS = "encoders.json"
OVERLAY = "overlay.yaml"


class CalibrationRun(RunHeader):
    """run.json of a calibration. roles: who plays each model role, in words; plan_hash: of the sampled plan."""

    config: CalibrationConfig
    plan_hash: str
    roles: dict[str, str]

    @classmethod
    def of(cls, config: CalibrationConfig, plan: ShardPlan, roles: Mapping[str, str]) -> Self:
        return cls.now(JOB, config=config, plan_hash=plan.hash, roles=roles)

    def differences(self, known: Self) -> list[str]:
        different = differing_content(known.config, self.config)
        if not different and known.plan_hash != self.plan_hash:
            different = ["the plan's inputs (catalogue, image folder or subject bank)"]
        return different if known.roles == self.roles else [*different, "the weights in models"]


@dataclass(frozen=True)
class Calibration:
    """What was found.

    pairs: of the sample, as far as they came to a draft. left_out: how many did not, by why. images: of the subjects
    that contact sheets show, by id, image files. before, after: all pairs under the config as it was given, and under
    the chosen one. gain: what the latter accepts more, as a share of the pairs. judge: what accepted them.
    """

    run: CalibrationRun
    pairs: Sequence[Pair]
    subjects: Mapping[str, Subject]
    left_out: Mapping[str, int]
    images: Mapping[str, bytes]
    proposals: Sequence[Proposal]
    judge: JudgeConfig
    sweeps: Sequence[Sweep]
    before: Results
    after: Results

    @property
    def num_subjects(self) -> int:
        return num_distinct(self.subjects.values())

    def compared(self) -> tuple[Figures, Figures, Estimate]:
        """Figures before and after, and what is accepted more, as a share of the pairs."""
        old, new = (
            outcomes_of(self.pairs, self.subjects, results, self.judge) for results in (self.before, self.after)
        )
        scored = {each.pair_id for each in old if each.scores} & {each.pair_id for each in new if each.scores}
        return figures_of(old, scored), figures_of(new, scored), gain_of(old, new)

    def overlay(self) -> str:
        """The chosen values as a config file; the thresholds too where pairs were judged by them."""
        content: dict[str, Any] = {}
        for sweep in self.sweeps:
            if sweep.choices:
                _merge(content, sweep.knob.settings(sweep.chosen()))
        if self.run.config.calibration.judge == "proposed":
            _merge(content, {"stages": {"judge": dict(found(self.proposals))}})
        return yaml.safe_dump(content, sort_keys=False)

    def figures(self) -> bytes:
        """As JSON, for scripts: every choice with its figures, and the proposed thresholds with what they give."""
        content = {
            "num_pairs": len(self.pairs),
            "left_out": dict(self.left_out),
            "settings": {
                sweep.knob.name: {
                    group: {
                        "own": choice.own,
                        "chosen": choice.value,
                        "num_pairs": choice.num_pairs,
                        "gain": _figure(choice.gain),
                        "front": choice.front,
                        "values": [
                            {"value": value, "accepted": _figure(figures.accepted)}
                            | {name: _figure(mean) for name, mean in figures.means.items()}
                            for value, figures in choice.figures.items()
                        ],
                    }
                    for group, choice in sweep.choices.items()
                }
                for sweep in self.sweeps
            },
            "thresholds": [{**asdict(each), "cosines": _counts(each)} for each in self.proposals],
        }
        return json.dumps(content, indent=1, allow_nan=False).encode()


def _merge(content: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


def _figure(estimate: Estimate) -> dict[str, float | None]:
    """null where there is none."""
    return {"value": None if estimate.value != estimate.value else estimate.value, "error": estimate.error}


def _counts(proposal: Proposal) -> dict[str, int]:
    return {"true": len(proposal.cosines.true), "false": len(proposal.cosines.false)}
