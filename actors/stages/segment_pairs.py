"""Where the subject is in both images of a given pair, which need not have one layout."""

from __future__ import annotations

import numpy as np

from actors.shard import PairState, Shard
from actors.stages.segment import MaskStage
from toffee_pipeline.images import encode_mask
from toffee_pipeline.schema.subjects import Subject


class SegmentPairs(MaskStage):
    def process(self, shard: Shard) -> None:
        self.find_subjects(shard)
        shard.spread_failures()
        for pair in shard.open_pairs():
            if shard.subject_of(pair).mask is None:
                pair.reject("no_mask")

        def read(state: PairState) -> tuple[np.ndarray, Subject]:
            return state.draft_rgb(), shard.subject_of(state).subject

        def store(state: PairState, mask: np.ndarray | None) -> None:
            if mask is None:
                state.reject("no_mask")
            else:
                state.draft_mask = encode_mask(mask)

        self.run(shard.open_pairs(), self.segment, store, read)
