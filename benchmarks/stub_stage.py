"""Stages without models, for what is measured around the stages: constant images, verdicts by the pair's id."""

from __future__ import annotations

import numpy as np

from actors.shard import PairState, Shard
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from toffee_pipeline.images import encode_depth, encode_mask, encode_png

SIDE_PX = 64
IMAGE = encode_png(np.full((SIDE_PX, SIDE_PX, 3), 128, np.uint8))
MASK = encode_mask(np.ones((SIDE_PX, SIDE_PX), np.bool_))
DEPTH = encode_depth(np.full((SIDE_PX, SIDE_PX), 0.5, np.float32))


def fill_subjects(shard: Shard) -> None:
    """What the stages of subjects leave behind."""
    for subject in shard.open_subjects():
        subject.image, subject.mask, subject.depth = IMAGE, MASK, DEPTH


def fill_pair(state: PairState, score: float) -> None:
    """What the stages of pairs leave behind."""
    state.input = state.draft = state.target = IMAGE
    state.edit_mask = MASK if state.pair.kind == "edit" else None
    state.scores = {"dino": score, "clip": score}


class Stub(Stage):
    """Fills everything that the models' stages fill; every third pair has scores too low for any profile."""

    name = "score"

    def process(self, shard: Shard) -> None:
        fill_subjects(shard)

        def score(batch: list[PairState]) -> list[float]:
            return [0.9 if int(state.pair.pair_id.lstrip("p")) % 3 else 0.1 for state in batch]

        self.run(shard.open_pairs(), score, fill_pair)


STUB_STAGES: StageTable = {stage.name: stage for stage in (Stub, Judge)}
