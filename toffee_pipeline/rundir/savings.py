"""What gates have saved: the later stages that pairs which they stopped did not reach."""

from __future__ import annotations

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.filters import GATES
from toffee_pipeline.rundir.counts import RunCounts, Saving


def savings_of(config: DatasetConfig, counts: RunCounts) -> dict[str, Saving]:
    """By gate that has stopped something, in the order of a pair's life."""
    found: dict[str, Saving] = {}
    left = counts.planned
    for number, stage in enumerate(config.model_stages):
        if stage not in GATES:
            continue
        (bound,) = GATES[stage].bounds
        stopped = counts.rejected.get(bound.reason, 0)
        left -= stopped
        later = [counts.stages[name] for name in config.model_stages[number + 1 :] if name in counts.stages]
        if stopped and left > 0:
            share = stopped / left
            found[stage] = Saving(
                stopped=stopped,
                seconds=share * sum(figures.seconds for figures in later),
                gpu_seconds=share * sum(figures.gpu_seconds for figures in later),
            )
    return found
