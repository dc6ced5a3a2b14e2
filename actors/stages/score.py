"""Scores of finished pairs; what they mean for a pair is `judge`'s to say."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from actors.shard import PairState, RowState, Shard, present
from actors.stage import Stage
from toffee_pipeline.config.base import Kind
from toffee_pipeline.errors import SampleError
from toffee_pipeline.filters import SCORES
from toffee_pipeline.filters import Score as ScoreOf
from toffee_pipeline.images import decode
from toffee_pipeline.models.roles import has_weights

S = TypeVar("S", bound=RowState)


class ScoreStage(Stage, Generic[S]):
    """What scoring pairs and subjects share: every score of a table that the config has weights for."""

    name = "score"
    table: ClassVar[tuple[ScoreOf, ...]]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.scores = [score for score in self.table if has_weights(score.role, self.config)]

    def load(self) -> None:
        for score in self.scores:
            getattr(self.models, score.role)

    @abstractmethod
    def material(self, shard: Shard, state: S) -> Mapping[str, Any]:
        """What is compared, by the names in `Score.of`. Pure: threads decode it."""

    def kind(self, state: S) -> Kind | None:
        """Of a pair."""
        return None

    def score(self, shard: Shard, states: list[S]) -> None:
        def read(state: S) -> tuple[Kind | None, Mapping[str, Any]]:
            return self.kind(state), self.material(shard, state)

        def compute(batch: list[tuple[Kind | None, Mapping[str, Any]]]) -> list[dict[str, float] | SampleError]:
            found: list[dict[str, float]] = [{} for _ in batch]
            for score in self.scores:
                measure = getattr(getattr(self.models, score.role), score.method)
                measured = measure(*([material[part] for _, material in batch] for part in score.of))
                for (kind, _), values, value in zip(batch, found, measured, strict=True):
                    if score.only in (None, kind):
                        values[score.name] = float(np.float32(value))  # as the ledger has it, to be judged again
            error = SampleError("an encoder's output is not finite", reason="not_finite")
            return [values if all(map(math.isfinite, values.values())) else error for values in found]

        def store(state: S, scores: dict[str, float]) -> None:
            state.scores = {**state.scores, **scores}

        self.run(states, compute, store, read)


class Score(ScoreStage[PairState]):
    table = SCORES
    roles = tuple(score.role for score in SCORES)

    def process(self, shard: Shard) -> None:
        self.score(shard, shard.open_pairs())

    def kind(self, state: PairState) -> Kind:
        return state.pair.kind

    def material(self, shard: Shard, state: PairState) -> Mapping[str, Any]:
        return {
            "input": decode(present(state.input)),
            "target": decode(present(state.target)),
            "mask": state.bool_edit_mask(),
            "prompt": state.pair.prompt,
        }
