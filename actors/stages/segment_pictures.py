"""Cut-outs of an evaluation's pictures, real and drawn: Grounded-SAM finds the subject by its class name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.pictures import PictureShard, PictureState
from actors.stage import Stage
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.images import encode_mask
from toffee_pipeline.schema.subjects import Subject


class SegmentPictures(Stage[PictureShard]):
    """A subject that is not found leaves its picture without a cut-out, so without Seg-DINO and Seg-CLIP-I."""

    name = "segment"
    roles = ("mask",)
    config: EvaluationConfig

    def process(self, shard: PictureShard) -> None:
        def read(state: PictureState) -> tuple[np.ndarray, Subject]:
            return state.rgb(), state.subject()

        def segment(batch: list[tuple[np.ndarray, Subject]]) -> list[np.ndarray | None]:
            images, subjects = zip(*batch, strict=True)
            masks: list[np.ndarray | None] = [None] * len(batch)
            for indices in same_size(images):
                found = self.models.mask.segment(
                    [images[index] for index in indices], [subjects[index] for index in indices]
                )
                for index, mask in zip(indices, found, strict=True):
                    masks[index] = mask
            return masks

        def store(state: PictureState, mask: np.ndarray | None) -> None:
            if mask is not None:
                state.mask = encode_mask(mask)

        self.run(shard.open_pictures(), segment, store, read)


def same_size(images: Sequence[np.ndarray]) -> list[list[int]]:
    """Indices of the images by their size: encoders take a batch of one size, and photographs have many."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(image.shape, []).append(index)
    return list(groups.values())
