"""A trained ToffeeNet that is asked with pictures and words, and answers with pictures."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from toffee_pipeline.config.stages import EditConfig
from toffee_pipeline.customize.request import Request
from toffee_pipeline.customize.square import mask_of_picture, paste, seen_depth, seen_mask
from toffee_pipeline.errors import RequestError, SampleError
from toffee_pipeline.images import central_square, fit_square
from toffee_pipeline.models.blended import dilate
from toffee_pipeline.models.loading import pick_device
from toffee_pipeline.models.prompts import count_tokens
from toffee_pipeline.models.trained_toffeenet import TrainedToffeeNet
from toffee_pipeline.rundir.trained import Trained

MAX_BATCH = 4
"""Most pictures that are drawn at once."""


class Drawn(NamedTuple):
    """images: uint8 (H, W, 3) each, or a SampleError in its place. seconds_per_image: of sampling alone."""

    images: list[np.ndarray | SampleError]
    seconds_per_image: float


class Customizer:
    """Loads the networks; `draw` as often as you like. Not for several threads at once.

    Raises ConfigError where weights are broken or for a device that is not there, and OSError where there are none.
    """

    def __init__(self, trained: Trained) -> None:
        self.config = trained.config
        self.model = TrainedToffeeNet(trained.weights, trained.config, pick_device(trained.config.device))

    def draw(self, request: Request) -> Drawn:
        """New pictures, uint8 (size_px, size_px, 3), or edits of the size of the first picture.

        A picture's noise is its seed's alone; among other neighbours some of its values may differ by 1.

        Raises RequestError, one line, where the request cannot be drawn.
        """
        sampler = self.model.sampler(self.config.sampling, request.dino_scale, request.dino_guidance_scale)
        size_px = sampler.size_px
        self._check(request)
        squares = [fit_square(picture, size_px) for picture in request.subjects]
        tokens = self.model.tokens(squares, [request.phrase] * len(squares)).mean(0, keepdim=True)
        depth, mask = self._depth(request, squares[0], size_px), self._mask(request)
        images: list[np.ndarray | SampleError] = []
        start = time.perf_counter()
        for first in range(0, len(request.seeds), MAX_BATCH):
            seeds = request.seeds[first : first + MAX_BATCH]
            count = len(seeds)
            batch = tokens.expand(count, -1, -1), [request.prompt] * count, seeds
            depths = None if depth is None else [depth] * count
            if mask is None:
                images += sampler.generate(*batch, depths)
            else:
                region = seen_mask(mask, size_px)
                edited = sampler.edit(batch[0], [squares[0]] * count, [region] * count, *batch[1:], depths)
                images += [
                    image if isinstance(image, SampleError) else paste(image, request.subjects[0], mask)
                    for image in edited
                ]
        return Drawn(images, (time.perf_counter() - start) / len(request.seeds))

    def find_mask(self, picture: np.ndarray, phrase: str) -> np.ndarray:
        """Bool (H, W): what the phrase names in the centred square of uint8 (H, W, 3), dilated as the masks that the
        network was trained on.

        Raises RequestError where Grounded-SAM finds nothing.
        """
        found = self.model.find(fit_square(picture, self.config.size_px), phrase)
        if found is None or not found.any():
            raise RequestError(
                f"mask: Grounded-SAM finds no {phrase!r} in the picture; name the subject's class, or give a mask"
            )
        return mask_of_picture(dilate(found, EditConfig().dilation_fraction), picture.shape)

    def _mask(self, request: Request) -> np.ndarray | None:
        picture, mask = request.subjects[0], request.mask
        if mask is None:
            return None
        if isinstance(mask, str):
            return self.find_mask(picture, request.phrase)
        if mask.shape != picture.shape[:2]:
            raise RequestError(f"mask: {_size(mask)}; the picture that it is of has {_size(picture)}")
        inside = central_square(mask)
        if not inside.any():
            raise RequestError("mask: it marks nothing in the picture's centred square, which is what is edited")
        if inside.sum() < mask.sum():
            raise RequestError(
                f"mask: it reaches beyond the picture's centred square of {len(inside)} px, which is all that is "
                "edited: crop the picture"
            )
        return mask

    def _depth(self, request: Request, square: np.ndarray, size_px: int) -> np.ndarray | None:
        if request.depth is None:
            return None
        if not isinstance(request.depth, str):
            return seen_depth(request.depth, size_px)
        try:
            return self.model.depth_of(square)
        except SampleError as error:
            raise RequestError(f"depth: {error}") from error

    def _check(self, request: Request) -> None:
        if not request.subjects:
            raise RequestError("subject: at least one picture of it is needed")
        if not request.prompt.strip():
            raise RequestError("prompt: it is empty; say what is to be drawn")
        count, most = count_tokens(self.model.tokenizer, [request.prompt])[0], self.model.tokenizer.model_max_length
        if count > most:
            raise RequestError(f"prompt: {count} tokens; the text encoder takes {most} and would drop its end")


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]} px"
