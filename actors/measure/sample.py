"""The pairs over which stages are measured, and what stands in for pictures that random weights do not give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from PIL import Image

from actors.read import fill_from_source
from actors.shard import PairState, Shard
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.inputs import new_plan


def first_shards(config: RunConfig, num_pairs: int) -> list[Shard]:
    """The plan's first pairs, in its shards: kinds, categories and padded micro-batches are those of a run."""
    plan = cast(Plan, new_plan(config))
    shards: list[Shard] = []
    left = num_pairs
    for index in range(len(plan)):
        shard = Shard.from_plan(plan, index)
        fill_from_source(shard, plan)
        shards.append(_of_pairs([shard], shard.pairs[:left]))
        left -= len(shard.pairs)
        if left <= 0:
            break
    return shards


def one_of_each(shards: Sequence[Shard]) -> Shard:
    """A pair of each kind and category that is painted: every shape that the shards' micro-batches have."""
    painted = [state for shard in shards for state in shard.pairs_to_paint()]
    return _of_pairs(shards, list({(state.pair.kind, state.pair.category): state for state in painted}.values()))


def _of_pairs(shards: Sequence[Shard], pairs: list[PairState]) -> Shard:
    """The pairs with their subjects, but for those that turn round what is not among them."""
    ids = {state.id for state in pairs}
    kept = [state for state in pairs if state.pair.reversed_from is None or state.pair.reversed_from in ids]
    wanted = {state.pair.subject_id for state in kept}
    subjects = {name: state for shard in shards for name, state in shard.subjects.items() if name in wanted}
    return Shard(shards[0].index, subjects, kept)


def take_all_on(shard: Shard, stage: str, size_px: int) -> None:
    """After this stage: rejects and failures are taken back, and what they lack is filled, so that the next stage is
    measured over all pairs."""
    for state in (*shard.subjects.values(), *shard.pairs):
        state.status, state.reason, state.error = "ok", None, None
    for subject in shard.subjects.values():
        if stage == "synthesize" and subject.image is None:
            subject.image = encode_png(picture(size_px, subject.subject.seed))
        if stage == "segment" and (subject.mask is None or subject.mask_reason is not None):
            subject.mask, subject.mask_reason = encode_mask(_disc(size_px)), None
        if stage == "depth" and subject.depth is None:
            subject.depth = encode_depth(np.tile(np.linspace(0, 1, size_px, dtype=np.float32), (size_px, 1)))
    for pair in shard.pairs:
        seed, edit = pair.pair.seed, pair.pair.kind == "edit"
        if stage == "segment" and edit and pair.edit_mask is None:
            pair.edit_mask = encode_mask(_disc(size_px))
        if stage == "draft" and pair.draft is None:
            pair.draft = encode_png(picture(size_px, seed))
        if stage == ("edit" if edit else "refine") and pair.target is None:
            pair.target = encode_png(picture(size_px, seed))
        if stage == ("edit" if edit else "view") and pair.input is None:
            pair.input = shard.subject_of(pair).image


def picture(size_px: int, seed: int) -> np.ndarray:
    """uint8 (size_px, size_px, 3): smooth colours under a little noise, which PNG packs about as well as photos."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size_px, size_px), Image.Resampling.BICUBIC), np.int16)
    return (smooth + rng.integers(-6, 7, smooth.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8)


def _disc(size_px: int) -> np.ndarray:
    axis = np.linspace(-1, 1, size_px)
    return np.less(axis[:, None] ** 2 + axis**2, 0.4)
