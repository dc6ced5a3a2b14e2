"""The verdict: what the scores mean for a pair. Needs no model, and takes no time worth measuring."""

from __future__ import annotations

from actors.shard import Shard
from actors.stage import Stage
from toffee_pipeline.filters import decide


class Judge(Stage):
    name = "judge"

    def process(self, shard: Shard) -> None:
        for state in shard.open_pairs():
            reason = decide(state.scores, self.config.stages.judge)
            if reason is None:
                state.status = "accepted"
            else:
                state.reject(reason)
