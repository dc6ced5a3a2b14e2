"""The files of a request. Each error is one line that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toffee_pipeline.errors import ImageError, RequestError
from toffee_pipeline.images import decode_depth, read_file
from toffee_pipeline.plain_file import read_plain


def read_picture(path: Path) -> np.ndarray:
    """uint8 (H, W, 3), upright. Raises RequestError."""
    try:
        return read_file(path)
    except ImageError as error:
        raise RequestError(str(error)) from error


def read_mask(path: Path) -> np.ndarray:
    """Bool (H, W) of any image: True where it is light, from 128 on. Raises RequestError."""
    return read_picture(path).mean(2) >= 128


def read_depth(path: Path) -> np.ndarray:
    """float32 (H, W) in 0..1, light is near: of a 16-bit gray PNG as in a dataset, else the lightness of any image.
    Raises RequestError."""
    lightness = read_picture(path).mean(2, dtype=np.float32) / 255
    try:
        return decode_depth(read_plain(path), str(path))
    except ImageError:  # 8 bits, or another format
        return lightness
