"""How far the pictures of a pair that was made again are from the stored ones, in grey levels of 0..255."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toffee_pipeline.errors import DamagedFile, ImageError
from toffee_pipeline.image_grid import image_grid
from toffee_pipeline.images import decode, decode_depth, decode_mask

TOLERANCE = 1.0
"""Mean difference of a picture up to which rounding alone explains it. On the nano networks another micro-batch, more
threads and older vector instructions changed a mean by at most 0.003, all weights rounded to bfloat16 by at most 0.54,
another seed by at least 7. The largest difference tells less: one pixel of a mask that flips is 255."""


@dataclass(frozen=True)
class ImageDifference:
    """One column.

    stored, remade: float32 (H, W, 3) in 0..255, with fractions of a level in depth alone. remade is None where the new
    pair has no such picture; missing then says why.
    """

    column: str
    stored: np.ndarray
    remade: np.ndarray | None
    missing: str = ""

    @property
    def levels(self) -> np.ndarray:
        """float32 (H, W, 3) in 0..255; of a picture that is missing all 255."""
        return np.full_like(self.stored, 255) if self.remade is None else np.abs(self.stored - self.remade)

    @property
    def mean(self) -> float:
        return float(self.levels.mean(dtype=np.float64))

    @property
    def largest(self) -> float:
        return float(self.levels.max())

    @property
    def changed_fraction(self) -> float:
        """Share of the pixels that are not the same."""
        return float(self.levels.any(axis=2).mean())


def levels_of(stored: Mapping[str, bytes], size_px: int) -> dict[str, np.ndarray]:
    """The stored pictures, encoded, by column: float32 (size_px, size_px, 3) in 0..255.

    Raises DamagedFile where one is none, or of another size than its run makes.
    """
    found = {}
    for column, data in stored.items():
        try:
            found[column] = _levels(column, data, size_px**2)
        except ImageError as error:
            raise DamagedFile(f"the stored {error}") from error
        height, width, _ = found[column].shape
        if (width, height) != (size_px, size_px):
            raise DamagedFile(f"the stored {column} has {width} x {height} px, its run makes {size_px} x {size_px}")
    return found


def compare_images(
    stored: Mapping[str, np.ndarray], remade: Mapping[str, bytes], max_pixels: int, missing: str = ""
) -> list[ImageDifference]:
    """By column, `levels_of` what is stored and the new ones, encoded; what is stored is compared. max_pixels: of a
    picture of the run. missing: why one may not be remade."""
    new = {column: _levels(column, remade[column], max_pixels) for column in stored if column in remade}
    return [ImageDifference(column, old, new.get(column), missing) for column, old in stored.items()]


def side_by_side(differences: list[ImageDifference]) -> np.ndarray:
    """uint8 (H, W, 3): a column of pictures each; stored, remade, and what differs, made as bright as it can be."""
    largest = max((each.largest for each in differences if each.remade is not None), default=0.0)
    gain = int(255 / largest) if largest else 1
    rows = [
        [difference.stored for difference in differences],
        [np.zeros_like(each.stored) if each.remade is None else each.remade for each in differences],
        [np.minimum(255, gain * difference.levels) for difference in differences],
    ]
    captions = ("stored", "remade", "difference" if gain == 1 else f"difference, {gain} times")
    columns = [difference.column for difference in differences]
    return image_grid([[image.astype(np.uint8) for image in row] for row in rows], columns, captions)


def _levels(column: str, data: bytes, max_pixels: int) -> np.ndarray:
    """float32 (H, W, 3) in 0..255."""
    if column == "depth":
        gray = 255 * decode_depth(data, column, max_pixels)
    elif column == "mask":
        gray = np.float32(255) * decode_mask(data, column, max_pixels)
    else:
        return decode(data, column, max_pixels).astype(np.float32)
    return np.repeat(gray[..., None], 3, axis=2)
