"""Subject images: synthesised, read from a folder or rendered; no two of a shard may look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.config.dataset import SubjectDatasetConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png


class Synthesize(Stage):
    name = "synthesize"
    roles = ("subject",)
    config: SubjectDatasetConfig

    def process(self, shard: Shard) -> None:
        def create(batch: list[SubjectState]) -> Sequence[np.ndarray | SampleError]:
            return self.models.subject.create([state.subject for state in batch])

        def store(state: SubjectState, png: bytes) -> None:
            state.image = png

        self.run(shard.open_subjects(), create, store, encode=encode_png)
        self._reject_duplicates(shard)

    def _reject_duplicates(self, shard: Shard) -> None:
        least = self.config.stages.synthesize.min_hash_distance
        if least is None:
            return
        kept: list[SubjectState] = []
        for state in shard.open_subjects():
            alike = next((other for other in kept if state.perceptual_hash - other.perceptual_hash < least), None)
            if alike is None:
                kept.append(state)
            else:
                state.fail(f"it looks like subject {alike.id}", "duplicate_subject")
