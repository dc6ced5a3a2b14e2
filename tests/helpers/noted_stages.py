"""Stages that leave a mark of themselves and of the node that they worked on, in the folder STUB_MARKS."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ray

from actors.shard import PairState, Shard
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from tests.helpers.stub_stages import Paint


class Noted(Stage):
    """Once there is a mark "over", it hurries."""

    def __call__(self, shard: Shard) -> Shard:
        marks = Path(os.environ["STUB_MARKS"])
        if (marks / "over").exists():
            os.environ["STUB_SLEEP_S"] = "0"
        shard = super().__call__(shard)
        (marks / f"{self.name} {ray.get_runtime_context().get_node_id()}").touch()
        return shard


class NotedPaint(Noted, Paint):
    pass


class Pass(Noted):
    """A stage before `Paint`, about as fast as two of those, and without a result."""

    name = "segment"

    def process(self, shard: Shard) -> None:
        def compute(batch: list[PairState]) -> list[None]:
            time.sleep(0.5 * float(os.environ["STUB_SLEEP_S"]) * len(batch))
            return [None] * len(batch)

        self.run(shard.open_pairs(), compute, lambda state, nothing: None)


NOTED_STAGES: StageTable = {stage.name: stage for stage in (Pass, NotedPaint, Judge)}
