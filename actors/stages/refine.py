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
from toffee_pipeline.plan.seeds import seed_for

if TYPE_CHECKING:
    from torch import Tensor


Region = tuple[np.ndarray, np.ndarray] | None


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

    def mixed_tokens(
        self, shard: Shard, batch: Sequence[PairState], drafts: Sequence[np.ndarray], regions: Sequence[Region]
    ) -> Tensor:
        """(b, 1 + n, c): the draft's tokens, refined towards the subject's. regions: of the batch, see `region`."""
        config = self.config.stages.refine
        bounded = [region for region in regions if region is not None]
        return self.models.dino.encode_mixed(
            drafts,
            [present(shard.subject_of(state).tokens) for state in batch],
            [config.a_of(state.pair.category) for state in batch],
            config.g,
            [draft for draft, _ in bounded] or None,
            [subject for _, subject in bounded] or None,
            config.matching_radius,
        )

    @staticmethod
    def seeds(batch: Sequence[PairState]) -> list[int]:
        """The Refiner's own: SDEdit with the noise that the draft was drawn from would lead back to the draft."""
        return [seed_for(str(state.pair.seed), "refine") for state in batch]

    def region(self, shard: Shard, state: PairState) -> Region:
        """Where the draft and the image show the subject, both bool (H, W): the draft in its subject's layout where no
        mask of its own is found. None under region=everywhere."""
        if self.config.stages.refine.region == "everywhere":
            return None
        subject = present(shard.subject_of(state).bool_mask())
        draft = state.bool_draft_mask()
        return subject if draft is None else draft, subject


class Refine(MixingStage):
    """Under region=subject what lies outside the draft's subject stays the draft's, exactly: tokens of its border hold
    some of the subject's old background, and would paint it around the subject."""

    name = "refine"

    def process(self, shard: Shard) -> None:
        from toffee_pipeline.models.blended import composite_all

        def store(state: PairState, png: bytes) -> None:
            state.target = png

        def read(state: PairState) -> tuple[PairState, np.ndarray, Region]:
            return state, state.draft_rgb(), self.region(shard, state)

        def refine(batch: list[tuple[PairState, np.ndarray, Region]]) -> Sequence[np.ndarray | SampleError]:
            pairs, drafts, regions = zip(*batch, strict=True)
            tokens = self.mixed_tokens(shard, pairs, drafts, regions)
            refined = self.models.refiner.refine(drafts, tokens, self.seeds(pairs))
            if self.config.stages.refine.region == "everywhere":
                return refined
            return composite_all(refined, drafts, [draft for draft, _ in regions])

        self.encode_subjects(shard)
        self.run(shard.open_pairs("generation"), refine, store, read, encode_png)
