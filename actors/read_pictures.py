"""The first step of an evaluation: plans a shard, and brings the pictures that are there already."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import cast

from actors.pictures import PictureShard, PictureState
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.errors import ImageError, PlanError, RunMismatch
from toffee_pipeline.evaluation.files import find_picture
from toffee_pipeline.evaluation.real_pictures import real_picture
from toffee_pipeline.images import read_encoded
from toffee_pipeline.plan.drawn import list_drawn
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.plan.folder import first_difference
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.storage import open_storage


class ReadPictures:
    """Needs no model and no GPU. The shards of a run whose lists of pictures lie in its directory `output`."""

    def __init__(self, config: EvaluationConfig, output: str) -> None:
        self.config = config
        self.plan = cast(EvaluationPlan, stored_plan(open_storage(output, config.output.endpoint_url), config))
        self.subjects = {subject.subject_id: subject for subject in self.plan.benchmark.subjects}

    def __call__(self, index: int) -> PictureShard:
        """A picture that is not there, or cannot be read, fails. Raises RunMismatch where drawn ones are not those
        that were listed, by name and size."""
        shard = PictureShard.from_plan(self.plan, index)
        for state in shard.pictures:
            if state.drawn and self.config.images is None:
                continue
            try:
                state.image = self._image(state)
            except (ImageError, OSError) as error:
                state.fail(f"read: {error}")
        self._require_same_drawn(shard)
        shard.spread_failures()
        return shard

    def _require_same_drawn(self, shard: PictureShard) -> None:
        """After they were read: one that is replaced meanwhile is another then."""
        if self.plan.drawn is None:
            return
        folder, drawn = cast(Path, self.config.images), [state for state in shard.pictures if state.drawn]
        for _, group in groupby(drawn, key=lambda state: state.picture.subject_id):
            states = {state.picture.source: state for state in group}
            try:
                there = list_drawn(folder, [state.picture for state in states.values()])
            except (PlanError, OSError) as error:  # this node's trouble
                for state in states.values():
                    state.fail(f"read: {error}")
                continue
            listed = [image for image in self.plan.drawn.images if os.path.splitext(image.path)[0] in states]
            # this node's may be a copy, of another time
            if change := first_difference(listed, there, by_time=False):
                raise RunMismatch(f"images={folder}: not as when the evaluation began: {change}")

    def _image(self, state: PictureState) -> bytes:
        picture = state.picture
        if state.drawn:
            return read_encoded(find_picture(cast(Path, self.config.images), picture.source))
        return real_picture(self.config.benchmark, self.subjects[picture.subject_id], picture.sample)
