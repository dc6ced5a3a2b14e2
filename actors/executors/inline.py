"""The stages in this process, one shard after the other; each is written while the next is computed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from actors.chain import StageChain
from actors.compiled import compiled_shared
from actors.context import RunContext
from actors.guard import NoGuard
from actors.read import reader_of
from actors.stage import StageTable
from actors.stage_counts import StageCounts
from actors.writers import writer_of
from toffee_pipeline.rundir.counts import ShardCounts

Work = TypeVar("Work")


def run(stages: StageTable, context: RunContext, shards: Iterable[int]) -> Generator[ShardCounts]:
    """As `actors.executors.run`."""
    config, stage_counts = context.config, StageCounts()

    def progress(stage: str, rows: int, seconds: float) -> None:
        stage_counts.add(stage, rows, seconds)
        context.show(stage_counts.snapshot())

    read, write = reader_of(config, context.output), writer_of(config, context.output)
    with compiled_shared(config, list(stages), context.output, context.say):
        chain = StageChain(config, list(stages.values()), progress, NoGuard(), num_threads=config.fused.num_threads)
    yield from written_behind((chain(read(index)) for index in shards), write)


def written_behind(shards: Iterable[Work], write: Callable[[Work], ShardCounts]) -> Generator[ShardCounts]:
    """What writing each shard gives, in a thread while the next one is taken from `shards`. Where that one
    cannot be had, the one before is still written."""
    with ThreadPoolExecutor(1, "writing") as writer:
        former: Future[ShardCounts] | None = None
        for shard in shards:
            if former is not None:
                yield former.result()
            former = writer.submit(write, shard)
        if former is not None:
            yield former.result()
