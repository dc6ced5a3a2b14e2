"""The stages in this process, one shard after the other."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from actors.chain import StageChain
from actors.context import RunContext
from actors.guard import NoGuard
from actors.read import reader_of
from actors.stage import StageTable
from actors.stage_counts import StageCounts
from actors.writers import writer_of
from toffee_pipeline.rundir.counts import ShardCounts


def run(stages: StageTable, context: RunContext, shards: Sequence[int]) -> Generator[ShardCounts]:
    """As `actors.executors.run`."""
    config, stage_counts = context.config, StageCounts()

    def progress(stage: str, rows: int, seconds: float) -> None:
        stage_counts.add(stage, rows, seconds)
        context.show(stage_counts.snapshot())

    read, write = reader_of(config, context.output), writer_of(config, context.output)
    num_threads = max(1, int(config.fused.num_cpus))
    chain = StageChain(config, list(stages.values()), progress, NoGuard(), num_threads=num_threads)
    for index in shards:
        yield write(chain(read(index)))
