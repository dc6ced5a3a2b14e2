"""Progress of a run, per stage: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from toffee_pipeline.schema import STAGES

PLAIN_EVERY_S = 10.0


class Board:
    """Rows and seconds per stage. Stages report here after each micro-batch; on Ray it is an actor."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = defaultdict(int)
        self._seconds: dict[str, float] = defaultdict(float)

    def add(self, stage: str, rows: int, seconds: float) -> None:
        self._rows[stage] += rows
        self._seconds[stage] += seconds

    def snapshot(self) -> dict[str, tuple[int, float]]:
        return {stage: (self._rows[stage], self._seconds[stage]) for stage in self._rows}


def clock(seconds: float) -> str:
    """h:mm:ss"""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Display:
    """Shows pairs done of pairs planned, pairs per second, time left, and rows of each stage.

    done: pairs committed by earlier runs. `update` may be called as often as you like.
    """

    def __init__(self, planned: int, done: int, stream: TextIO | None = None) -> None:
        self.planned, self.before, self.finished, self.accepted = planned, done, done, 0
        self.began = time.monotonic()
        self.stages: dict[str, tuple[int, float]] = {}
        stream = stream or sys.stderr
        self._console = Console(file=stream)
        self._live: Live | None = None
        self._last_line = self.began
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._table)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        else:
            self._print()

    def add_shard(self, counts: dict[str, Any]) -> None:
        self.finished += counts["planned"]
        self.accepted += counts["accepted"]

    def update(self, stages: dict[str, tuple[int, float]]) -> None:
        self.stages = stages
        if self._live is None and time.monotonic() - self._last_line >= PLAIN_EVERY_S:
            self._print()

    def headline(self) -> str:
        elapsed = time.monotonic() - self.began
        rate = (self.finished - self.before) / elapsed if elapsed > 0 else 0.0
        left = clock((self.planned - self.finished) / rate) if rate > 0 else "unknown"
        return (
            f"{self.finished}/{self.planned} pairs, {self.accepted} accepted, {rate:.2f} pairs/s, "
            f"{clock(elapsed)} elapsed, {left} left"
        )

    def _print(self) -> None:
        self._last_line = time.monotonic()
        stages = " ".join(f"{stage}={self.stages[stage][0]}" for stage in STAGES if stage in self.stages)
        self._console.print(f"{self.headline()} | {stages}", soft_wrap=True, highlight=False)

    def _table(self) -> Table:
        table = Table(title=self.headline(), title_justify="left", box=None, pad_edge=False)
        for column in ("stage", "rows", "rows/s per actor"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for stage in STAGES:
            rows, seconds = self.stages.get(stage, (0, 0.0))
            table.add_row(stage, str(rows), f"{rows / seconds:.2f}" if seconds else "")
        return table
