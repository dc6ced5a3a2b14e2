"""The pipeline's stages, logging what they compute, as they do it, to a file per process in the folder CHAOS_LOG."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

from actors.chain import stages_of
from actors.shard import Shard
from actors.stage import Stage, StageTable
from benchmarks.stub_stage import STUB_STAGES, Stub
from toffee_pipeline.config.load import load_config

SLEEP_S = 0.2
"""Of the stub stage, per pair: long enough for kills to meet work in flight."""


class Log:
    """A file of this process, of JSON lines: before each shard, after each micro-batch and after the shard."""

    def __init__(self) -> None:
        self._file = Path(os.environ["CHAOS_LOG"]).joinpath(f"{os.getpid()}-{time.time_ns()}.jsonl").open("a")
        self._cpu = time.process_time()

    def line(self, **figures: Any) -> None:
        self._file.write(json.dumps({"time": time.time(), **figures}) + "\n")
        self._file.flush()

    def cpu_seconds(self) -> float:
        """Of this process since the last call."""
        before, self._cpu = self._cpu, time.process_time()
        return self._cpu - before


log = functools.cache(Log)


class Logged(Stage):
    """Goes before a stage's class. first, last: of the table's stages."""

    first: bool
    last: bool

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        progress = self.progress

        def logged(stage: str, rows: int, seconds: float) -> None:
            log().line(rows=rows, seconds=seconds, cpu_seconds=log().cpu_seconds())
            progress(stage, rows, seconds)

        self.progress = logged

    def __call__(self, shard: Shard) -> Shard:
        if self.first:
            log().cpu_seconds()
            log().line(shard=shard.index)
        shard = super().__call__(shard)
        if self.last:
            log().line(done=True)
        return shard


class SlowStub(Stub):
    def process(self, shard: Shard) -> None:
        time.sleep(SLEEP_S * len(shard.open_pairs()))
        super().process(shard)


def logged(stages: StageTable) -> StageTable:
    """The same stages, each micro-batch of which is logged."""
    first, *_, last = stages
    return {
        name: type(stage.__name__, (Logged, stage), {"first": name == first, "last": name == last})
        for name, stage in stages.items()
    }


LOGGED_STAGES = logged(stages_of(load_config("nano")))
LOGGED_STUBS = logged({**STUB_STAGES, SlowStub.name: SlowStub})
