"""Pictures of an evaluation's subjects by ToffeeNet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.pictures import PictureShard, PictureState
from actors.stage import Stage
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_png, fit_square


class Draw(Stage[PictureShard]):
    name = "draw"
    roles = ("toffeenet",)
    config: EvaluationConfig

    def process(self, shard: PictureShard) -> None:
        toffeenet, settings = self.models.toffeenet, self.config.stages.draw
        sampler = toffeenet.sampler(settings.sampling, settings.dino_scale)

        def store(state: PictureState, png: bytes) -> None:
            state.image = png

        for real, drawn in shard.open_subjects():
            image = fit_square(real[0].rgb(), sampler.size_px)
            tokens = toffeenet.tokens([image], [real[0].picture.class_name])
            try:
                depth = toffeenet.depth_of(image) if settings.depth == "input" else None
            except SampleError as error:
                for state in drawn:
                    state.fail(f"{self.name}: depth of the input image: {error}")
                continue

            def draw(batch: list[PictureState], tokens=tokens, depth=depth) -> Sequence[np.ndarray | SampleError]:
                return sampler.generate(
                    tokens.expand(len(batch), -1, -1),
                    [state.picture.prompt for state in batch],
                    [state.picture.seed for state in batch],
                    None if depth is None else [depth] * len(batch),
                )

            self.run(drawn, draw, store, encode=encode_png)
