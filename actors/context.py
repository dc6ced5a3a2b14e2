"""What an executor knows of the run that it works for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.on_ray.metrics import RayMetricSink
from toffee_pipeline.rundir.totals import Totals


@dataclass(frozen=True)
class RunContext:
    """A run, and where to say how it goes.

    output: URI of the run directory.
    metrics: the driver's, kept fresh while Ray is up.
    totals: of the run so far; the caller adds to it what the executor yields. The stages' measured costs stand there.
    show: gets rows and seconds of each stage, as often as they change.
    say: gets a line when the placement is chosen, or changes.
    """

    config: DatasetConfig
    output: str
    metrics: RayMetricSink
    totals: Totals = field(default_factory=Totals)
    show: Callable[[Mapping[str, tuple[int, float]]], None] = lambda stages: None
    say: Callable[[str], None] = lambda line: None
