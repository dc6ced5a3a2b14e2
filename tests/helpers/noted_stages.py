"""Stages that leave a mark of themselves and of the node that they worked on, in the folder STUB_MARKS."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ray

from actors.shard import Shard
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from tests.helpers.stub_stages import Paint

MARKS = Path(os.environ["STUB_MARKS"])
OVER = MARKS / "over"
"""Once it is there, all hurry."""
AHEAD = 6
"""Shards by which the first stage is ahead of the second at most: it has work as long as that one has."""


class Noted(Stage):
    def __call__(self, shard: Shard) -> Shard:
        if OVER.exists():
            os.environ["STUB_SLEEP_S"] = "0"
        shard = super().__call__(shard)
        (MARKS / f"{self.name} {ray.get_runtime_context().get_node_id()}").touch()
        self.done(shard).touch()
        return shard

    def done(self, shard: Shard) -> Path:
        return MARKS / f"done-{self.name}-{shard.index}"


class NotedPaint(Noted, Paint):
    pass


class Pass(Noted):
    """A stage before `Paint` that fills nothing."""

    name = "segment"

    def process(self, shard: Shard) -> None:
        def ahead() -> int:
            return len(list(MARKS.glob("done-segment-*"))) - len(list(MARKS.glob("done-score-*")))

        while ahead() >= AHEAD and not self.done(shard).exists() and not OVER.exists():
            time.sleep(0.1)


NOTED_STAGES: StageTable = {stage.name: stage for stage in (Pass, NotedPaint, Judge)}
