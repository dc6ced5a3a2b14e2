"""The verdict: what the scores mean for a pair. Needs no model, and takes no time worth measuring."""

from __future__ import annotations

from actors.shard import Shard
from actors.stage import Stage
from toffee_pipeline.config.refine_pairs import PairDatasetConfig
from toffee_pipeline.filters import decide


class Judge(Stage):
    name = "judge"
    config: PairDatasetConfig

    def process(self, shard: Shard) -> None:
        by_id = {state.id: state for state in shard.pairs}
        # a pair that turns another one round is judged after it
        for state in sorted(shard.open_pairs(), key=lambda state: state.pair.reversed_from is not None):
            reason = decide(state.scores, self.config.stages.judge, state.pair.kind)
            source = by_id[state.pair.reversed_from] if state.pair.reversed_from else None
            if source is not None:
                state.follow(source)
            if state.status != "ok":
                continue
            if reason is None:
                state.status = "accepted"
            else:
                state.reject(reason)
