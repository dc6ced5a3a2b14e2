"""Progress of a run, per stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.table import Table

from toffee_pipeline.console.progress import ProgressDisplay
from toffee_pipeline.rundir.counts import ShardCounts


class GenerationDisplay(ProgressDisplay):
    """Shows rows done of rows planned, rows per second, time left, and rows of each stage.

    row: what they are, in a word: pair, subject of a bank, or picture of an evaluation. done: committed by earlier
    runs. stages: those with models, in order.
    """

    def __init__(
        self,
        row: str,
        planned: int,
        done: int,
        stages: Sequence[str],
        stream: TextIO | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream, now)
        self.row, self.order = row, stages
        self.planned, self.before, self.finished, self.accepted = planned, done, done, 0
        self.stages: Mapping[str, tuple[int, float]] = {}

    def add_shard(self, counts: ShardCounts) -> None:
        self.finished += counts.planned
        self.accepted += counts.accepted

    def update(self, stages: Mapping[str, tuple[int, float]]) -> None:
        """Takes rows and seconds of each stage. Call it as often as you like."""
        self.stages = stages
        self.refresh()

    def headline(self) -> str:
        done, elapsed_s = self.finished - self.before, self.elapsed_s()
        rate = done / elapsed_s if elapsed_s > 0 else 0.0
        return (
            f"{self.finished}/{self.planned} {self.row}s, {self.accepted} accepted, {rate:.2f} {self.row}s/s, "
            f"{self.times(self.planned - self.finished, done, elapsed_s)}"
        )

    def line(self) -> str:
        stages = " ".join(f"{stage}={self.stages[stage][0]}" for stage in self.order if stage in self.stages)
        return f"{self.headline()} | {stages}"

    def picture(self) -> Table:
        table = Table(title=self.headline(), title_justify="left", box=None, pad_edge=False)
        for column in ("stage", "rows", "rows/s per actor"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for stage in self.order:
            rows, seconds = self.stages.get(stage, (0, 0.0))
            table.add_row(stage, str(rows), f"{rows / seconds:.2f}" if seconds else "")
        return table
