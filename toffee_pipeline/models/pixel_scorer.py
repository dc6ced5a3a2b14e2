"""The filter's measures that need no network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from toffee_pipeline.pixels import change_inside, perceptual_hash


class PixelScorer:
    """Compares the pixels of a pair; without weights, and on the CPU."""

    def __init__(self, device: torch.device) -> None:
        """device: as every role's; not needed."""

    def hash_distance(self, images_a: Sequence[np.ndarray], images_b: Sequence[np.ndarray]) -> list[float]:
        """Bits, 0..64, in which the perceptual hashes of each uint8 (H, W, 3) and its partner differ."""
        return [float(perceptual_hash(a) - perceptual_hash(b)) for a, b in zip(images_a, images_b, strict=True)]

    def change(
        self, before: Sequence[np.ndarray], after: Sequence[np.ndarray], masks: Sequence[np.ndarray | None]
    ) -> list[float]:
        """`change_inside` of each pair of uint8 (H, W, 3) and its bool (H, W) mask, 0..255; NaN without a mask."""
        return [
            float("nan") if mask is None else change_inside(a, b, mask)
            for a, b, mask in zip(before, after, masks, strict=True)
        ]
