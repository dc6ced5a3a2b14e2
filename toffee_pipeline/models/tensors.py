"""Images between the pipeline's arrays and the networks' tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.errors import SampleError
from toffee_pipeline.pixels import is_flat

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


def to_tensor(images: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """uint8 (H, W, 3) each to float32 (b, 3, H, W) in 0..1. Raises ValueError where sizes differ."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255


def to_images(pixels: Tensor) -> list[np.ndarray | SampleError]:
    """(b, 3, H, W) in 0..1 to uint8 (H, W, 3) each; a SampleError where values are not finite or the image is flat."""
    pixels = pixels.detach().float()
    finite = pixels.isfinite().flatten(1).all(1)
    # rounded where they are: a quarter of the bytes to move, and no GPU waits for a CPU's arithmetic
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
    return [_to_image(image.numpy(), known) for image, known in zip(levels, finite.tolist(), strict=True)]


def _to_image(image: np.ndarray, finite: bool) -> np.ndarray | SampleError:
    if not finite:
        return SampleError("the model's image holds NaN or infinite values", reason="not_finite")
    if is_flat(image):
        colour = tuple(image.mean(axis=(0, 1)).round().astype(int).tolist())
        return SampleError(f"the model's image is flat: RGB {colour} all over", reason="flat_image")
    return image


def resize(pixels: Tensor, size_px: int) -> Tensor:
    """(b, 3, H, W) in 0..1 to (b, 3, size_px, size_px), bicubic with antialiasing; untouched where the size fits."""
    if pixels.shape[-2:] == (size_px, size_px):
        return pixels
    small = F.interpolate(pixels, size=(size_px, size_px), mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0, 1)


def center_crop(pixels: Tensor, size_px: int) -> Tensor:
    """The central (b, 3, size_px, size_px)."""
    top, left = ((side - size_px) // 2 for side in pixels.shape[-2:])
    return pixels[..., top : top + size_px, left : left + size_px]


def normalize(pixels: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """(b, 3, H, W) minus `mean`, over `std`, per channel."""
    return (pixels - pixels.new_tensor(mean)[:, None, None]) / pixels.new_tensor(std)[:, None, None]
