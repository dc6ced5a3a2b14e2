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
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject


class Draft(Stage):
    name = "draft"
    roles = ("draft",)
    config: RunConfig

    def process(self, shard: Shard) -> None:
        def store(state: PairState, png: bytes) -> None:
            state.draft = png

        def read(state: PairState) -> tuple[Pair, Subject, np.ndarray, np.ndarray, np.ndarray | None]:
            subject = shard.subject_of(state)
            return state.pair, subject.subject, subject.inverse_depth(), subject.rgb(), state.bool_edit_mask()

        def draft(
            batch: list[tuple[Pair, Subject, np.ndarray, np.ndarray, np.ndarray | None]],
        ) -> Sequence[np.ndarray | SampleError]:
            pairs, subjects, depths, images, masks = zip(*batch, strict=True)
            return self.models.draft.draft(pairs, subjects, depths, images, masks)

        def start(state: PairState) -> tuple[float, float]:
            return self.config.stages.draft.start_of(state.pair.edited)

        # what starts alike takes the same steps
        for _, pairs in groupby(sorted(shard.pairs_to_paint(), key=start), key=start):
            self.run(list(pairs), draft, store, read, encode_png)
