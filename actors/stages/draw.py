"""Pictures of an evaluation's subjects by ToffeeNet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from actors.pictures import PictureShard, PictureState
from actors.shard import present
from actors.stage import Stage
from toffee_pipeline.config.base import EditRegion
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.stages import EditConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png, fit_square
from toffee_pipeline.schema.pairs import REGIONS

EDITED: Mapping[str, EditRegion] = {
    **{str(category): region for category, region in REGIONS.items()},
    "recontextualization": "background",
    "accessorization": "around",
    "property": "subject",
    "photorealistic": "background",
    "style_transfer": "everywhere",
    "imaginative": "everywhere",
}
"""What an edit may change by the prompt's category: of the small world, of DreamBench, of DreamBench++."""


class Draw(Stage[PictureShard]):
    name = "draw"
    roles = ("toffeenet",)
    config: EvaluationConfig

    def process(self, shard: PictureShard) -> None:
        def store(state: PictureState, png: bytes) -> None:
            state.image = png

        for real, drawn in shard.open_subjects():
            try:
                draw = self._drawer(real[0])
            except SampleError as error:
                for state in drawn:
                    state.fail(f"{self.name}: input image: {error}")
                continue
            self.run(drawn, draw, store, encode=encode_png)

    def _drawer(self, subject: PictureState) -> Callable[[list[PictureState]], Sequence[np.ndarray | SampleError]]:
        """Draws a subject from its input image, which is looked at once. Raises SampleError where it cannot be used."""
        from toffee_pipeline.models.blended import editing_mask  # loads torch

        toffeenet, settings = self.models.toffeenet, self.config.stages.draw
        sampler = toffeenet.sampler(settings.sampling, settings.dino_scale)
        image = fit_square(subject.rgb(), sampler.size_px)
        tokens = toffeenet.tokens([image], [subject.picture.class_name])
        depth = toffeenet.depth_of(image) if settings.depth == "input" else None
        found = toffeenet.find(image, subject.picture.class_name) if settings.task == "edit" else None
        if settings.task == "edit" and found is None:
            raise SampleError(f"no {subject.picture.class_name} is found in it")

        def draw(batch: list[PictureState]) -> Sequence[np.ndarray | SampleError]:
            count = len(batch)
            of_subject = tokens.expand(count, -1, -1)
            prompts, seeds = [state.picture.prompt for state in batch], [state.picture.seed for state in batch]
            depths = None if depth is None else [depth] * count
            if found is None:
                return sampler.generate(of_subject, prompts, seeds, depths)
            regions = [EDITED[present(state.picture.category)] for state in batch]
            masks = [editing_mask(found, region, EditConfig()) for region in regions]
            return sampler.edit(of_subject, [image] * count, masks, prompts, seeds, depths)

        return draw
