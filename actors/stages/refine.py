"""Targets of generation pairs: DINO mix (Eq 2-3), then SDEdit of the draft with the Refiner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from actors.shard import PairState, Shard, SubjectState, present
from actors.stage import Stage
from toffee_pipeline.config.refine_pairs import PairDatasetConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png

if TYPE_CHECKING:
    from torch import Tensor


class MixingStage(Stage):
    """What Refine and Edit share: the subject's tokens, and their mix with those of a draft."""

    roles = ("dino", "refiner")
    config: PairDatasetConfig

    def encode_subjects(self, shard: Shard) -> None:
        """DINO tokens of the subjects that open pairs need, once per subject."""

        def store(state: SubjectState, tokens: Tensor) -> None:
            state.tokens = tokens.cpu().half().numpy()

        def encode(images: list[np.ndarray]) -> Sequence[Tensor]:
            return list(self.models.dino.encode(images))

        missing = [state for state in shard.open_subjects() if state.tokens is None]
        self.run(missing, encode, store, SubjectState.rgb)

    def mixed_tokens(self, shard: Shard, batch: Sequence[PairState], drafts: Sequence[np.ndarray]) -> Tensor:
        """(b, 1 + n, c): the draft's tokens, refined towards the subject's."""
        config = self.config.stages.refine
        subjects = [shard.subject_of(state) for state in batch]
        masks = draft_masks = None
        if config.region == "subject":
            masks = [present(state.bool_mask()) for state in subjects]
            draft_masks = [self.draft_mask(shard, state) for state in batch]
        return self.models.dino.encode_mixed(
            drafts,
            [present(state.tokens) for state in subjects],
            [config.a_of(state.pair.category) for state in batch],
            config.g,
            draft_masks,
            masks,
            config.matching_radius,
        )

    def draft_mask(self, shard: Shard, state: PairState) -> np.ndarray:
        """Where the draft shows the subject, bool (H, W): in its subject's layout where no mask of its own is found."""
        own = state.bool_draft_mask()
        return present(shard.subject_of(state).bool_mask()) if own is None else own


class Refine(MixingStage):
    """Under region=subject what lies outside the draft's subject stays the draft's, exactly: tokens of its border hold
    some of the subject's old background, and would paint it around the subject."""

    name = "refine"

    def process(self, shard: Shard) -> None:
        from toffee_pipeline.models.blended import composite_all

        def store(state: PairState, png: bytes) -> None:
            state.target = png

        def read(state: PairState) -> tuple[PairState, np.ndarray]:
            return state, state.draft_rgb()

        def refine(batch: list[tuple[PairState, np.ndarray]]) -> Sequence[np.ndarray | SampleError]:
            pairs, drafts = zip(*batch, strict=True)
            tokens = self.mixed_tokens(shard, pairs, drafts)
            refined = self.models.refiner.refine(drafts, tokens, [state.pair.seed for state in pairs])
            if self.config.stages.refine.region == "everywhere":
                return refined
            return composite_all(refined, drafts, [self.draft_mask(shard, state) for state in pairs])

        self.encode_subjects(shard)
        self.run(shard.open_pairs("generation"), refine, store, read, encode_png)
