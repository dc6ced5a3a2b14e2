"""Where the subject is in both images of a given pair, which need not have one layout."""

from __future__ import annotations

import numpy as np

from actors.shard import PairState, Shard
from actors.stages.segment import MaskStage
from toffee_pipeline.images import encode_mask


class SegmentPairs(MaskStage):
    def process(self, shard: Shard) -> None:
        self.find_subjects(shard)
        shard.spread_failures()
        for pair in shard.open_pairs():
            if shard.subject_of(pair).mask is None:
                pair.reject("no_mask")

        def store(state: PairState, mask: np.ndarray | None) -> None:
            if mask is None:
                state.reject("no_mask")
            else:
                state.draft_mask = encode_mask(mask)

        self.run(
            shard.open_pairs(),
            lambda batch: self.models.mask.segment(
                [state.draft_rgb() for state in batch], [shard.subject_of(state).subject for state in batch]
            ),
            store,
        )
