"""Inputs of generation pairs: the View Generator draws the subject again from another view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import PairState, Shard, present
from actors.stage import Stage
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png
from toffee_pipeline.plan.seeds import seed_for


class View(Stage):
    name = "view"
    roles = ("view",)

    def process(self, shard: Shard) -> None:
        from toffee_pipeline.models.dino import stack_tokens

        def store(state: PairState, png: bytes) -> None:
            state.input = png

        def view(batch: list[PairState]) -> Sequence[np.ndarray | SampleError]:
            subjects = [shard.subject_of(state) for state in batch]
            tokens = stack_tokens([present(state.tokens) for state in subjects])
            seeds = [seed_for(str(state.pair.seed), self.name) for state in batch]
            return self.models.view.generate(tokens, [state.subject for state in subjects], seeds)

        self.run(shard.open_pairs("generation"), view, store, encode=encode_png)
        for subject in shard.subjects.values():  # nothing after this stage needs them
            subject.tokens = None
