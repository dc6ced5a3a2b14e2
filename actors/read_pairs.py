"""The first step of refining given pairs: plans a shard, and brings its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from actors.shard import PairState, Shard, SubjectState
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.errors import ImageError
from toffee_pipeline.images import encode_png, fit_square
from toffee_pipeline.pairsets.pairset import reader_of
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.refinement import LazyImages, PlannedPair, RefinementPlan
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.storage import open_storage


class ReadPairs:
    """Needs no model and no GPU. The shards of a run whose list of pairs lies in its directory `output`."""

    def __init__(self, config: RefinementConfig, output: str) -> None:
        self.config, self.reader = config, reader_of(config.source)
        self.plan = cast(RefinementPlan, stored_plan(open_storage(output, config.output.endpoint_url), config))

    def __call__(self, index: int) -> Shard:
        return self.read(index, self.plan.planned(index))

    def read(self, index: int, planned: Sequence[PlannedPair]) -> Shard:
        """Shard `index`, or some of its pairs. A pair that cannot be read is rejected as unreadable. Raises OSError
        where the set's store fails."""
        images = iter(self.reader.images([each.given.place for each in planned if each.given.problem is None]))
        shard = Shard(
            index,
            {each.subject.subject_id: SubjectState(each.subject) for each in planned},
            [PairState(each.pair) for each in planned],
        )
        for each, state in zip(planned, shard.pairs, strict=True):
            self._fill(each, shard.subject_of(state), state, next(images) if each.given.problem is None else None)
        shard.spread_failures()
        return shard

    def _fill(self, planned: PlannedPair, subject: SubjectState, state: PairState, images: LazyImages | None) -> None:
        """images: None where it is known that they cannot be read."""
        if images is None:
            subject.fail(f"{planned.given.name}: {planned.given.problem}", "unreadable")
            return
        if self.config.other_languages == "refuse" and not is_english(planned.given.prompt):
            subject.fail(f"{planned.given.name}: the prompt is not English", "other_language")
            return
        try:
            given, edited = images()
        except ImageError as error:
            subject.fail(f"{planned.given.name}: {error}", "unreadable")
            return
        subject.image = state.input = self._png(given)
        state.draft = self._png(edited)

    def _png(self, image: np.ndarray) -> bytes:
        """The central square, in the run's size: of both images of a pair, whatever their sizes."""
        return encode_png(fit_square(image, self.config.size_px))
