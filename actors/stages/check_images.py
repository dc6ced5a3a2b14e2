"""A classifier looks at every image that would be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from actors.shard import PairState, RowState, Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.filters import keeps_images
from toffee_pipeline.images import decode

Looked = TypeVar("Looked", SubjectState, PairState)


class CheckImages(Stage):
    """Also at those of pairs that are rejected already, where the run keeps them."""

    name = "check_images"
    roles = ("image_safety",)
    config: RunConfig | SubjectBankConfig | RefinementConfig

    def process(self, shard: Shard) -> None:
        pairs = [state for state in shard.pairs if self._may_be_written(state)]
        needed = {state.pair.subject_id for state in pairs}
        subjects = [
            state
            for state in shard.subjects.values()
            if (state.id in needed if shard.pairs else self._may_be_written(state))
        ]
        self._look(subjects, "image", [state.image for state in subjects])
        for pair in pairs:
            subject = shard.subject_of(pair)
            if subject.status == "failed" or subject.reason == "unsafe":
                pair.fail(subject.error or "", subject.reason)
        for name in ("draft", "target", "input"):
            left = [pair for pair in pairs if self._may_be_written(pair)]
            images = [getattr(pair, name) for pair in left]
            known = [shard.subject_of(pair).image for pair in left]  # an edit's input is its subject
            self._look(left, name, [None if a == b else a for a, b in zip(images, known, strict=True)])

    def _may_be_written(self, state: RowState) -> bool:
        kept = state.status == "rejected" and keeps_images(self.config.output.keep, state.reason)
        return state.status == "ok" or kept

    def _look(self, states: Sequence[Looked], name: str, images: Sequence[bytes | None]) -> None:
        settings = self.config.stages.check_images
        data_of = {state.id: data for state, data in zip(states, images, strict=True) if data is not None}

        def store(state: Looked, unsafe: float) -> None:
            if unsafe > settings.max_unsafe:
                state.fail(f"{self.name}: {' or '.join(settings.unsafe_labels)}: {unsafe:.2f}, in the {name}", "unsafe")

        def read(state: Looked) -> np.ndarray:
            return decode(data_of[state.id])

        def score(batch: list[np.ndarray]) -> Sequence[float]:
            return self.models.image_safety.score(batch)

        self.run([state for state in states if state.id in data_of], score, store, read)
