"""Subject images: synthesised, read from a folder or rendered."""

from __future__ import annotations

import numpy as np

from actors.shard import Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.images import encode_png


class Synthesize(Stage):
    name = "synthesize"
    roles = ("subject",)

    def process(self, shard: Shard) -> None:
        def store(state: SubjectState, image: np.ndarray) -> None:
            state.image = encode_png(image)

        self.run(
            shard.open_subjects(), lambda batch: self.models.subject.create([state.subject for state in batch]), store
        )
