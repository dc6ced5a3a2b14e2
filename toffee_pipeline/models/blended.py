"""Masks and compositing of edit pairs (paper section 3.3): outside the mask the target equals the subject exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.config.base import EditRegion
from toffee_pipeline.config.stages import EditConfig
from toffee_pipeline.errors import SampleError

FEATHER_FRACTION = 1 / 256


def dilate(mask: np.ndarray, fraction: float) -> np.ndarray:
    """Grow a bool mask (H, W) by `fraction` of its longer side in every direction, by at least 1 px unless it is 0."""
    if fraction == 0:
        return mask.copy()
    radius = max(round(fraction * max(mask.shape)), 1)
    return _dilate(mask, radius)


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
    width = max(round(max(mask.shape) * FEATHER_FRACTION), 1)
    result, depth = np.where(mask[..., None], target, original), _depth(mask, width)
    ramp = mask & (depth < width)
    alpha = (depth[ramp] / np.float32(width))[:, None]
    blend = original[ramp] + (target[ramp].astype(np.float32) - original[ramp]) * alpha
    result[ramp] = blend.round().astype(np.uint8)
    return result


def composite_all(
    targets: Sequence[np.ndarray | SampleError], originals: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> list[np.ndarray | SampleError]:
    """`composite` of each; a SampleError stays in its place."""
    return [
        target if isinstance(target, SampleError) else composite(target, original, mask)
        for target, original, mask in zip(targets, originals, masks, strict=True)
    ]


def latent_mask(masks: Sequence[np.ndarray], factor: int, device: torch.device) -> Tensor:
    """Bool (H, W) each to float32 (b, 1, H / factor, W / factor), 1 wherever a latent touches the mask."""
    stacked = torch.from_numpy(np.stack(masks)).to(device).float()[:, None]
    return F.max_pool2d(stacked, factor)


def _depth(mask: np.ndarray, most: int) -> np.ndarray:
    """float32 (H, W): 0 outside, then how many px inside, up to `most`; thinner parts keep what they reach."""
    outside, depth = ~mask, np.zeros(mask.shape, np.float32)
    for _ in range(most):
        depth += ~outside
        outside = _dilate(outside, 1)
    return depth


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Square dilation of bool (H, W), one axis after the other, in steps that double."""
    for _ in mask.shape:
        reach = 0
        while reach < radius:
            step = min(reach + 1, radius - reach)  # more would need what lies beyond the border
            grown = mask.copy(order="K")
            grown[step:] |= mask[:-step]
            grown[:-step] |= mask[step:]
            mask, reach = grown, reach + step
        mask = mask.T
    return mask
