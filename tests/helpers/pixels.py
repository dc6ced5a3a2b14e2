"""Images as arrays."""

import io

import numpy as np
from PIL import Image


def pixels(data: bytes | Image.Image) -> np.ndarray:
    """Of an image file's bytes too."""
    return np.asarray(data if isinstance(data, Image.Image) else Image.open(io.BytesIO(data)))
