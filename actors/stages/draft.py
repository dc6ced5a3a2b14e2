"""Drafts: an image that follows the prompt and keeps the subject's layout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from actors.shard import PairState, Shard
from actors.stage import Stage
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png


class Draft(Stage):
    name = "draft"
    roles = ("draft",)
    config: RunConfig

    def process(self, shard: Shard) -> None:
        def store(state: PairState, image: np.ndarray) -> None:
            state.draft = encode_png(image)

        def draft(batch: list[PairState]) -> Sequence[np.ndarray | SampleError]:
            subjects = [shard.subject_of(state) for state in batch]
            return self.models.draft.draft(
                [state.pair for state in batch],
                [state.subject for state in subjects],
                [state.inverse_depth() for state in subjects],
                [state.rgb() for state in subjects],
                [state.bool_edit_mask() for state in batch],
            )

        def strength(state: PairState) -> float:
            return self.config.stages.draft.strength_of(state.pair.edited)

        # what starts at one noise level takes the same steps
        for _, pairs in groupby(sorted(shard.pairs_to_paint(), key=strength), key=strength):
            self.run(list(pairs), draft, store)
