"""Between a picture and the centred square of it that the network sees."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toffee_pipeline.images import central_square
from toffee_pipeline.models.blended import composite


def seen_mask(mask: np.ndarray, size_px: int) -> np.ndarray:
    """Bool (H, W) to bool (size_px, size_px) of the centred square: True wherever a pixel touches the mask."""
    square = Image.fromarray(central_square(mask).astype(np.float32))  # 8 bits would round thin lines away
    return np.array(square.resize((size_px, size_px), Image.Resampling.BOX)) > 0


def seen_depth(depth: np.ndarray, size_px: int) -> np.ndarray:
    """float32 (H, W) in 0..1 to float32 (size_px, size_px) of the centred square."""
    square = Image.fromarray(np.ascontiguousarray(central_square(depth), np.float32))
    return np.array(square.resize((size_px, size_px), Image.Resampling.BILINEAR)).clip(0, 1)


def mask_of_picture(square: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bool (s, s) of the centred square to bool (H, W) of a whole picture of this shape (H, W, ...)."""
    mask = np.zeros(shape[:2], bool)
    inside = central_square(mask)
    image = Image.fromarray(square.astype(np.uint8) * 255).resize(inside.shape[::-1], Image.Resampling.NEAREST)
    inside[:] = np.array(image) > 0
    return mask


def paste(drawn: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An edited square laid back into its picture.

    Args:
        drawn: uint8 (s, s, 3), as the network's sampler edits the square.
        picture: uint8 (H, W, 3). mask: bool (H, W), within the centred square.

    Returns:
        uint8 (H, W, 3): exactly the picture outside the mask.
    """
    if drawn.shape == picture.shape:
        return drawn
    target = picture.copy()
    inside = central_square(target)
    side = inside.shape[0]
    inside[:] = np.array(Image.fromarray(drawn).resize((side, side), Image.Resampling.LANCZOS))
    return composite(target, picture, mask)
