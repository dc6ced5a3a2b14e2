"""Scores of finished pairs; what they mean for a pair is `judge`'s to say."""

from __future__ import annotations

import math
from typing import Any

from actors.shard import PairState, Shard, present
from actors.stage import Stage
from toffee_pipeline.errors import SampleError
from toffee_pipeline.filters import SCORES
from toffee_pipeline.images import decode
from toffee_pipeline.models.roles import has_weights


class Score(Stage):
    name = "score"
    roles = tuple(score.role for score in SCORES)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.scores = [score for score in SCORES if has_weights(score.role, self.config)]

    def load(self) -> None:
        for score in self.scores:
            getattr(self.models, score.role)

    def process(self, shard: Shard) -> None:
        def compute(batch: list[PairState]) -> list[dict[str, float] | SampleError]:
            material = {
                "input": [decode(present(state.input)) for state in batch],
                "target": [decode(present(state.target)) for state in batch],
                "prompt": [state.pair.prompt for state in batch],
            }
            found: list[dict[str, float]] = [{} for _ in batch]
            for score in self.scores:
                encoder = getattr(self.models, score.role)
                for values, value in zip(found, encoder.score(*(material[part] for part in score.of)), strict=True):
                    values[score.name] = value
            return [
                values if all(map(math.isfinite, values.values())) else SampleError("an encoder's output is not finite")
                for values in found
            ]

        def store(state: PairState, scores: dict[str, float]) -> None:
            state.scores = scores

        self.run(shard.open_pairs(), compute, store)
