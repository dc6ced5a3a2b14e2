"""Stages without models whose pairs have drafts of their own, half of them rejected."""

from __future__ import annotations

import numpy as np

from actors.shard import PairState, Shard
from actors.stage import StageTable
from actors.stages.judge import Judge
from tests.helpers.stub_stages import Paint, picture
from toffee_pipeline.images import decode, encode_mask, encode_png
from toffee_pipeline.models.blended import composite

UPPER_HALF = np.arange(64)[:, None].repeat(64, 1) < 32


class Draft(Paint):
    """Pairs of noise: a draft, a target and an input of each, and of an edit a mask of the upper half."""

    def process(self, shard: Shard) -> None:
        super().process(shard)
        for state in shard.open_pairs():
            seed, subject = state.pair.seed, shard.subject_of(state)
            state.draft, state.target, state.input = picture(seed + 1), picture(seed + 2), picture(seed + 3)
            if state.pair.kind == "edit":
                state.input, state.edit_mask = subject.image, encode_mask(UPPER_HALF)
                state.target = _inside(state)
            state.scores["clip"] = 0.9 if seed % 2 else 0.0
        by_id = {state.id: state for state in shard.pairs}
        for state in shard.open_pairs():
            if state.pair.reversed_from is not None:
                added = by_id[state.pair.reversed_from]
                state.input, state.target, state.draft = added.target, added.input, added.draft


def _inside(state: PairState) -> bytes:
    assert state.target and state.input
    return encode_png(composite(decode(state.target), decode(state.input), UPPER_HALF))


STAGES: StageTable = {stage.name: stage for stage in (Draft, Judge)}
