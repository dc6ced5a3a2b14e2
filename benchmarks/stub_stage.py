"""A stage without models, for what is measured around the stages: constant images, verdicts by the pair's id."""

from __future__ import annotations

import numpy as np

from actors import chain
from actors.base import PairState, Shard, Stage
from toffee_pipeline.images import encode_depth, encode_mask, encode_png

SIDE_PX = 64
IMAGE = encode_png(np.full((SIDE_PX, SIDE_PX, 3), 128, np.uint8))
MASK = encode_mask(np.ones((SIDE_PX, SIDE_PX), np.bool_))
DEPTH = encode_depth(np.full((SIDE_PX, SIDE_PX), 0.5, np.float32))


class Stub(Stage):
    """Fills everything that the models' stages fill; every third pair is rejected."""

    name = "score"

    def process(self, shard: Shard) -> None:
        for subject in shard.open_subjects():
            subject.image, subject.mask, subject.depth = IMAGE, MASK, DEPTH

        def store(state: PairState, accepted: bool) -> None:
            state.input = state.draft = state.target = IMAGE
            state.edit_mask = MASK if state.pair.kind == "edit" else None
            state.dino_score = state.clip_score = 0.9 if accepted else 0.1
            if accepted:
                state.status = "accepted"
            else:
                state.reject("low_dino")

        self.run(
            shard.open_pairs(), lambda batch: [int(state.pair.pair_id.lstrip("p")) % 3 > 0 for state in batch], store
        )


def install() -> None:
    """Makes this stage the whole pipeline of the calling process."""
    chain.STAGE_CLASSES.clear()
    chain.STAGE_CLASSES[Stub.name] = Stub
