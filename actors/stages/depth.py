"""The subject's depth: the layout that a draft follows."""

from __future__ import annotations

import numpy as np

from actors.shard import Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.images import encode_depth


class Depth(Stage):
    name = "depth"
    roles = ("depth",)

    def process(self, shard: Shard) -> None:
        def store(state: SubjectState, depth: np.ndarray) -> None:
            state.depth = encode_depth(depth)

        self.run(
            shard.open_subjects(),
            lambda batch: self.models.depth.estimate(
                [state.rgb() for state in batch], [state.subject for state in batch]
            ),
            store,
        )
