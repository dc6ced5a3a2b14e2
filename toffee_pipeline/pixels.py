"""What pixels alone tell, without a network: that a picture shows nothing, is another one again, or changed where it
must not."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image, ImageStat

HASH_BITS = 64
FLAT = 1.0
"""Least standard deviation, in levels of 0..255, of a picture that shows something."""


def is_flat(rgb: np.ndarray) -> bool:
    """Whether uint8 (H, W, 3) is one colour all over, black for instance; noise below one level does not count."""
    return max(ImageStat.Stat(Image.fromarray(rgb)).stddev) < FLAT  # by histograms: a tenth of numpy's time


def perceptual_hash(rgb: np.ndarray) -> imagehash.ImageHash:
    """pHash of uint8 (H, W, 3), `HASH_BITS` bits: which low frequencies of its lightness are above their median
    (Zauner 2010). The difference of two is the number of bits that differ: 0 for a picture and its recompressed copy,
    about half for two that have nothing in common."""
    return imagehash.phash(Image.fromarray(rgb))


def change_inside(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> float:
    """How far two uint8 (H, W, 3) differ inside the bool (H, W) mask: the 99th percentile of its pixels' absolute
    differences, each a mean over the channels, in levels of 0..255; 0 where the mask is empty.

    Not the mean: a hat in an otherwise untouched region is a change, and recompressing all of it is none.
    """
    difference = np.abs(np.subtract(before, after, dtype=np.int16))
    inside = (difference[..., 0] + difference[..., 1] + difference[..., 2])[mask]  # summing an axis of 3 is slower
    return float(np.quantile(inside, 0.99)) / 3 if inside.size else 0.0


def changed_outside(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> int:
    """How many pixels of two uint8 (H, W, 3) differ outside the bool (H, W) mask."""
    return int((before != after).any(axis=-1)[~mask].sum())
