"""Scores and verdict: DINO cosine of input and target, CLIP cosine of target and prompt."""

from __future__ import annotations

import math

from actors.base import PairState, Shard, Stage, present
from toffee_pipeline.errors import SampleError
from toffee_pipeline.filters import decide
from toffee_pipeline.images import decode


class Score(Stage):
    name = "score"
    roles = ("dino_scorer", "clip_scorer")

    def process(self, shard: Shard) -> None:
        def score(batch: list[PairState]) -> list[tuple[float, float] | SampleError]:
            targets = [decode(present(state.target)) for state in batch]
            inputs = [decode(present(state.input)) for state in batch]
            dino = self.models.dino_scorer.score(inputs, targets)
            clip = self.models.clip_scorer.score(targets, [state.pair.prompt for state in batch])
            return [
                scores if all(map(math.isfinite, scores)) else SampleError("an encoder's output is not finite")
                for scores in zip(dino, clip, strict=True)
            ]

        def store(state: PairState, scores: tuple[float, float]) -> None:
            state.dino_score, state.clip_score = scores
            reason = decide(*scores, self.config.stages.judge)
            if reason is None:
                state.status = "accepted"
            else:
                state.reject(reason)

        self.run(shard.open_pairs(), score, store)
