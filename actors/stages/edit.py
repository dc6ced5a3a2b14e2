"""Edit pairs: Blended Diffusion changes one region of the subject image, bit-exact elsewhere (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import PairState, Shard, present
from actors.stage import in_threads
from actors.stages.refine import MixingStage, Region
from toffee_pipeline.config.base import OUTSIDE
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png


class Edit(MixingStage):
    """The Refiner paints where the subject's look comes back; what is drawn around it, and changes that take nothing
    from it, stay the draft's."""

    name = "edit"

    def process(self, shard: Shard) -> None:
        from toffee_pipeline.models.blended import composite

        def store(state: PairState, png: bytes) -> None:
            state.target = png
            state.input = shard.subject_of(state).image

        def pictures(state: PairState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return shard.subject_of(state).rgb(), state.draft_rgb(), present(state.bool_edit_mask())

        def read(state: PairState) -> tuple[PairState, Region, np.ndarray, np.ndarray, np.ndarray]:
            return state, self.region(shard, state), *pictures(state)

        def edit(
            batch: list[tuple[PairState, Region, np.ndarray, np.ndarray, np.ndarray]],
        ) -> Sequence[np.ndarray | SampleError]:
            pairs, regions, images, drafts, masks = zip(*batch, strict=True)
            tokens = self.mixed_tokens(shard, pairs, drafts, regions)
            return self.models.refiner.edit(images, drafts, masks, tokens, self.seeds(pairs))

        def paste(state: PairState) -> bytes:
            image, draft, mask = pictures(state)
            return encode_png(composite(draft, image, mask))

        self.encode_subjects(shard)
        refined: list[PairState] = []
        drafted: list[PairState] = []
        for state in shard.pairs_to_paint("edit"):
            takes_nothing = state.pair.region in OUTSIDE or self.config.stages.refine.a_of(state.pair.category) == 0
            (drafted if takes_nothing else refined).append(state)
        pasted = [in_threads(paste, state) for state in drafted]
        self.run(refined, edit, store, read, encode_png)
        for state, future in zip(drafted, pasted, strict=True):
            store(state, future.result())
        _turn_round(shard)


def _turn_round(shard: Shard) -> None:
    """Removal pairs from the additions of which they are the reverse."""
    by_id = {state.id: state for state in shard.pairs}
    for state in shard.open_pairs("edit"):
        if state.pair.reversed_from is not None:
            added = by_id[state.pair.reversed_from]
            state.input, state.target = added.target, added.input
            state.draft, state.edit_mask = added.draft, added.edit_mask
            state.follow(added)
