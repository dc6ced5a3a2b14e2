"""The first step of an evaluation: plans a shard, and brings the pictures that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from actors.pictures import PictureShard, PictureState
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.errors import ImageError
from toffee_pipeline.evaluation.files import find_picture
from toffee_pipeline.images import decode, encode_png
from toffee_pipeline.nano.renderer import scene, turned
from toffee_pipeline.nano.world_samples import SIZE_PX
from toffee_pipeline.plan.benchmark import BenchmarkSubject
from toffee_pipeline.plan.benchmarks import folder_of
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.schema import Subject
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
            path = find_picture(cast(Path, self.config.images), picture.source)
        elif self.config.benchmark.path is None:
            return encode_png(render_view(self.subjects[picture.subject_id], picture.sample))
        else:
            path = folder_of(self.config.benchmark.name, self.config.benchmark.path) / picture.source
        data = path.read_bytes()
        decode(data, str(path))
        return data


def render_view(subject: BenchmarkSubject, number: int) -> np.ndarray:
    """A real picture of a rendered subject, uint8 (64, 64, 3): number 0 is the photo that its description tells, the
    others are turned and elsewhere."""
    planned = Subject(subject.subject_id, subject.class_name, subject.description, subject.seed)
    shown = scene(planned) if number == 0 else turned(planned, seed_for(str(subject.seed), f"view {number}"))
    return shown.render(SIZE_PX).rgb
