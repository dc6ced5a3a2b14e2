"""The subject's depth: the layout that a draft follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_depth
from toffee_pipeline.schema.subjects import Subject


class Depth(Stage):
    name = "depth"
    roles = ("depth",)

    def process(self, shard: Shard) -> None:
        def read(state: SubjectState) -> tuple[np.ndarray, Subject]:
            return state.rgb(), state.subject

        def estimate(batch: list[tuple[np.ndarray, Subject]]) -> Sequence[np.ndarray | SampleError]:
            images, subjects = zip(*batch, strict=True)
            return self.models.depth.estimate(images, subjects)

        def store(state: SubjectState, png: bytes) -> None:
            state.depth = png

        self.run(shard.open_subjects(), estimate, store, read, encode_depth)
