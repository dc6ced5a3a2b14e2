"""Edit pairs: Blended Diffusion with the Refiner changes one region of the subject image, the rest stays bit-exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import PairState, Shard, present
from actors.stages.refine import MixingStage
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import decode_mask, encode_mask, encode_png


class Edit(MixingStage):
    name = "edit"

    def process(self, shard: Shard) -> None:
        from toffee_pipeline.models.blended import editing_mask

        def store(state: PairState, image: np.ndarray) -> None:
            state.target = encode_png(image)
            state.input = shard.subject_of(state).image

        def edit(batch: list[PairState]) -> Sequence[np.ndarray | SampleError]:
            drafts = [state.draft_rgb() for state in batch]
            tokens = self.mixed_tokens(shard, batch, drafts)
            return self.models.refiner.edit(
                [shard.subject_of(state).rgb() for state in batch],
                drafts,
                [decode_mask(present(state.edit_mask)) for state in batch],
                tokens,
                [state.pair.seed for state in batch],
            )

        self.encode_subjects(shard)
        pairs = shard.open_pairs("edit")
        for state in pairs:
            mask = present(shard.subject_of(state).bool_mask())
            state.edit_mask = encode_mask(editing_mask(mask, state.pair.category, self.config.stages.edit))
        self.run(pairs, edit, store)
