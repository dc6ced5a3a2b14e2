"""Masks and compositing of edit pairs (paper section 3.3): outside the mask the target equals the subject exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.config.base import EditRegion
from toffee_pipeline.config.stages import EditConfig

FEATHER_FRACTION = 1 / 256


def dilate(mask: np.ndarray, fraction: float) -> np.ndarray:
    """Grow a bool mask (H, W) by `fraction` of its longer side in every direction, by at least 1 px unless it is 0."""
    if fraction == 0:
        return mask.copy()
    radius = max(round(fraction * max(mask.shape)), 1)
    return _dilate(torch.from_numpy(mask).float()[None], radius)[0].numpy() > 0


def editing_mask(mask: np.ndarray, region_name: EditRegion, config: EditConfig) -> np.ndarray:
    """The region of this name, bool (H, W), from the subject's mask; around nothing is nothing."""
    if region_name == "everywhere":
        return np.ones_like(mask)
    if region_name == "background":
        return ~mask
    if region_name == "subject" or not mask.any():
        return dilate(mask, config.dilation_fraction)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    margin = round(config.addition_margin_fraction * max(mask.shape))
    region = np.zeros_like(mask)
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    region[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1] = True
    return region & ~mask


def composite(target: np.ndarray, original: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`target` inside the mask, `original` outside.

    Args:
        target, original: uint8 (H, W, 3).
        mask: bool (H, W).

    Returns:
        uint8 (H, W, 3): bit-exact `original` outside the mask, a ramp of 1/256 of the side just inside its border. The
        image's border is none.
    """
    alpha = _ramp(mask, max(round(max(mask.shape) * FEATHER_FRACTION), 1))[..., None]
    blend = original + (target.astype(np.float32) - original) * alpha
    return np.where(mask[..., None], blend.round().astype(np.uint8), original)


def latent_mask(masks: Sequence[np.ndarray], factor: int, device: torch.device) -> Tensor:
    """Bool (H, W) each to float32 (b, 1, H / factor, W / factor), 1 wherever a latent touches the mask."""
    stacked = torch.from_numpy(np.stack(masks)).to(device).float()[:, None]
    return F.max_pool2d(stacked, factor)


def _ramp(mask: np.ndarray, width: int) -> np.ndarray:
    """float32 (H, W): 0 outside, rising to 1 at `width` px inside; thinner parts keep what they reach."""
    outside = torch.from_numpy(~mask).float()[None]
    total = torch.zeros_like(outside)
    for _ in range(width):
        total += 1 - outside
        outside = _dilate(outside, 1)
    return (total[0] / width).numpy()


def _dilate(mask: Tensor, radius: int) -> Tensor:
    """Square dilation of (1, H, W), one axis after the other."""
    rows = F.max_pool2d(mask, (2 * radius + 1, 1), 1, (radius, 0))
    return F.max_pool2d(rows, (1, 2 * radius + 1), 1, (0, radius))
