"""What a dataset costs before it is made, and what others say that theirs cost. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toffee_pipeline.config.generate import RunConfig


def per_accepted(
    costs: Mapping[str, float], pass_rates: Mapping[str, float], stages: Sequence[str]
) -> dict[str, float]:
    """Of each stage, per accepted pair: c_i / prod_{j >= i} p_j; a dataset of N accepted pairs costs N times their sum.

    Args:
        costs: c_i, per pair that reaches the stage, in any unit.
        pass_rates: p_j above 0, the share of the pairs that reach a stage which it lets through; 1 where it has none.
        stages: all of them, in the order of a pair's life.
    """
    found, accepted = {}, 1.0
    for stage in reversed(stages):
        accepted *= pass_rates.get(stage, 1.0)
        if stage in costs:
            found[stage] = costs[stage] / accepted
    return {stage: found[stage] for stage in stages if stage in found}


@dataclass(frozen=True)
class StageCost:
    """seconds: per pair that reaches the stage. pass_rate: share of these that it lets through. seconds_per_accepted:
    per accepted pair. gpu_seconds_per_accepted: these times the GPUs that its actor holds."""

    name: str
    seconds: float
    pass_rate: float
    seconds_per_accepted: float
    gpu_seconds_per_accepted: float


@dataclass(frozen=True)
class CostPlan:
    """Of a plan of `num_pairs` pairs.

    device: on which the stages were measured. differs: settings under which they were not. acceptance: accepted pairs
    of planned ones. rates_of: the run that tells it; None: nothing is known, and all are taken to pass.
    bytes_are_reckoned: no run tells them. is_banked: its subjects come from a bank, whose cost is in no figure. wall_s:
    by the cluster's size in words, all stages computing without a pause.
    """

    device: str
    differs: tuple[str, ...]
    num_pairs: int
    num_subjects: int
    acceptance: float
    rates_of: str | None
    stages: tuple[StageCost, ...]
    bytes_per_accepted: float
    bytes_are_reckoned: bool
    is_banked: bool
    price_per_gpu_hour: float
    wall_s: Mapping[str, float]

    @property
    def num_accepted(self) -> float:
        return self.num_pairs * self.acceptance

    @property
    def seconds_per_accepted(self) -> float:
        return sum(stage.seconds_per_accepted for stage in self.stages)

    @property
    def gpu_seconds_per_accepted(self) -> float:
        return sum(stage.gpu_seconds_per_accepted for stage in self.stages)


BYTES_PER_PIXEL = {"jpeg": 0.39, "webp": 0.34, "png": 1.43}
"""Of photographs (30 of DreamBench at 512 px, quality 95)."""
DEPTH_BYTES_PER_PIXEL = 1.0
"""Of a 16-bit PNG of a smooth map, about."""
PICTURES = 4
"""Of a pair: input, target, subject and draft; its mask is small."""


def reckoned_bytes_per_accepted(config: RunConfig) -> float:
    """Of a pair in the dataset, where no run tells: about. Rejected pairs are not counted."""
    edits = config.pairs.edit_fraction
    picture = edits * BYTES_PER_PIXEL["png"] + (1 - edits) * BYTES_PER_PIXEL[config.output.image_format]
    return config.size_px**2 * (PICTURES * picture + DEPTH_BYTES_PER_PIXEL)


class Published(NamedTuple):
    """What is said of a method. per_million_subjects: hours of its own tuning, which grow with the subjects;
    once: hours of training, whatever the dataset's size. Neither has the drawing of the pairs in it."""

    name: str
    unit: str
    per_million_subjects: float = 0.0
    once: float = 0.0


PUBLISHED = (
    Published("SuTI", "TPU hours", per_million_subjects=83_000),
    Published("CAFE", "GPU hours", per_million_subjects=10_000),
    Published("Toffee (the paper)", "GPU hours", once=3_000),
)
"""Fig. 2 and section 1 of the paper: about 83,000, around 10,000 and less than 3,000."""
PAPER_FLOP_PER_PAIR = 3.3e15
"""To draw one pair at the paper's 100 steps of DDIM, by the forward passes of its networks."""
A100_FLOP_PER_S = 125e12
"""Of such networks in half precision: 40 % of the 312 TFLOP/s of its data sheet. Assumed, not measured."""


def paper_drawing_hours(num_pairs: float) -> float:
    """A100 hours to draw planned pairs as the paper does, reckoned; the paper leaves them out of its figure."""
    return num_pairs * PAPER_FLOP_PER_PAIR / A100_FLOP_PER_S / 3600
