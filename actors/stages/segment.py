"""Subject masks by Grounded-SAM. A pair that cannot do without one is rejected here, before it costs more."""

from __future__ import annotations

import numpy as np

from actors.shard import Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.filters import decide_mask
from toffee_pipeline.images import encode_mask


class Segment(Stage):
    name = "segment"
    roles = ("mask",)

    def process(self, shard: Shard) -> None:
        def store(state: SubjectState, mask: np.ndarray | None) -> None:
            state.mask_reason = decide_mask(None if mask is None else float(mask.mean()), self.config.stages.segment)
            if mask is not None:
                state.mask = encode_mask(mask)

        self.run(
            shard.open_subjects(),
            lambda batch: self.models.mask.segment(
                [state.rgb() for state in batch], [state.subject for state in batch]
            ),
            store,
        )
        shard.fail_pairs_of_failed_subjects()
        for pair in shard.open_pairs():
            reason = shard.subject_of(pair).mask_reason
            needed = pair.pair.kind == "edit" or (self.config.stages.refine.region == "subject" and reason == "no_mask")
            if reason is not None and needed:
                pair.reject(reason)
