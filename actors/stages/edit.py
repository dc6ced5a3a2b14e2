"""Edit pairs: Blended Diffusion changes one region of the subject image, bit-exact elsewhere (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import PairState, Shard, present
from actors.stages.refine import MixingStage
from toffee_pipeline.config.base import OUTSIDE
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png


class Edit(MixingStage):
    """The Refiner paints where the subject's look comes back; what is drawn around it, and changes that take nothing
    from it, stay the draft's."""

    name = "edit"

    def process(self, shard: Shard) -> None:
        from toffee_pipeline.models.blended import composite

        def store(state: PairState, image: np.ndarray) -> None:
            state.target = encode_png(image)
            state.input = shard.subject_of(state).image

        def edit(batch: list[PairState]) -> Sequence[np.ndarray | SampleError]:
            drafts = [state.draft_rgb() for state in batch]
            tokens = self.mixed_tokens(shard, batch, drafts)
            return self.models.refiner.edit(
                [shard.subject_of(state).rgb() for state in batch],
                drafts,
                [present(state.bool_edit_mask()) for state in batch],
                tokens,
                [state.pair.seed for state in batch],
            )

        self.encode_subjects(shard)
        refined: list[PairState] = []
        drafted: list[PairState] = []
        for state in shard.pairs_to_paint("edit"):
            takes_nothing = state.pair.region in OUTSIDE or self.config.stages.refine.a_of(state.pair.category) == 0
            (drafted if takes_nothing else refined).append(state)
        self.run(refined, edit, store)
        for state in drafted:
            image = shard.subject_of(state).rgb()
            store(state, composite(state.draft_rgb(), image, present(state.bool_edit_mask())))
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
