"""The executors: one per file, all with the same `run`."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from actors.context import RunContext
from actors.executors import inline, on_ray
from actors.stage import StageTable
from toffee_pipeline.rundir.counts import ShardCounts


def run(stages: StageTable, context: RunContext, shards: Sequence[int]) -> Generator[ShardCounts]:
    """Computes and commits `shards` where the config says; yields each one's counts as it is committed, in any order.
    Close it to stop."""
    executor = inline if context.config.placement == "inline" else on_ray
    if shards:
        yield from executor.run(stages, context, shards)
