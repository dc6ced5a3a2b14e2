"""The first step of an evaluation: plans a shard, and brings the pictures that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from actors.pictures import PictureShard, PictureState
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.errors import ImageError
from toffee_pipeline.evaluation.files import find_picture
from toffee_pipeline.evaluation.real_pictures import real_picture
from toffee_pipeline.images import read_encoded
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.storage import open_storage


class ReadPictures:
    """Needs no model and no GPU. The shards of a run whose benchmark's list lies in its directory `output`."""

    def __init__(self, config: EvaluationConfig, output: str) -> None:
        self.config = config
        self.plan = cast(EvaluationPlan, stored_plan(open_storage(output, config.output.endpoint_url), config))
        self.subjects = {subject.subject_id: subject for subject in self.plan.benchmark.subjects}

    def __call__(self, index: int) -> PictureShard:
        """A picture that is not there, or cannot be read, fails."""
        shard = PictureShard.from_plan(self.plan, index)
        for state in shard.pictures:
            if state.drawn and self.config.images is None:
                continue
            try:
                state.image = self._image(state)
            except (ImageError, OSError) as error:
                state.fail(f"read: {error}")
        shard.spread_failures()
        return shard

    def _image(self, state: PictureState) -> bytes:
        picture = state.picture
        if state.drawn:
            return read_encoded(find_picture(cast(Path, self.config.images), picture.source))
        return real_picture(self.config.benchmark, self.subjects[picture.subject_id], picture.sample)
