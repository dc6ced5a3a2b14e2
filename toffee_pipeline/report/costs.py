"""What the stages of a run cost, against what its profile expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toffee_pipeline.rundir.counts import RunCounts, Saving
from toffee_pipeline.rundir.description import ImageDatasetRun, PairRun
from toffee_pipeline.rundir.savings import savings_of


@dataclass(frozen=True)
class StageCost:
    """rows: samples that it computed; seconds: for all of them; gpu_hours: these times the GPUs that it held.
    predicted, measured: seconds per planned pair, of the profile (`stages.*.seconds_per_pair`) and of the run."""

    name: str
    rows: int
    seconds: float
    gpu_hours: float
    predicted: float
    measured: float

    @property
    def ratio(self) -> str:
        """Measured over predicted."""
        return f"{self.measured / self.predicted:.2f}" if self.predicted else "–"


@dataclass(frozen=True)
class Costs:
    """price_per_gpu_hour: 0 where the config has none. savings: of gates. is_banked: the subjects come from a bank,
    whose cost is in no figure."""

    stages: tuple[StageCost, ...]
    total: StageCost
    price_per_gpu_hour: float
    savings: Mapping[str, Saving]
    is_banked: bool

    @property
    def longest(self) -> float:
        """Most seconds per planned pair that a stage was predicted or measured to take."""
        return max(max(stage.predicted, stage.measured) for stage in self.stages)


def costs_of(run: ImageDatasetRun, counts: RunCounts) -> Costs | None:
    """None before anything was computed."""
    if not counts.planned or not counts.stages:
        return None
    stages = tuple(
        StageCost(
            name=name,
            rows=figures.rows,
            seconds=figures.seconds,
            gpu_hours=figures.gpu_seconds / 3600,
            predicted=getattr(run.config.stages, name).seconds_per_pair,
            measured=figures.seconds / counts.planned,
        )
        for name, figures in counts.stages.items()
        if hasattr(run.config.stages, name)  # a run of strangers may count another job's
    )
    total = StageCost(
        name="all",
        rows=counts.planned,
        seconds=sum(stage.seconds for stage in stages),
        gpu_hours=sum(stage.gpu_hours for stage in stages),
        predicted=sum(stage.predicted for stage in stages),
        measured=sum(stage.measured for stage in stages),
    )
    savings = savings_of(run.config, counts) if isinstance(run, PairRun) else {}
    return Costs(stages, total, run.config.price_per_gpu_hour, savings, run.config.player("subject") == "bank")
