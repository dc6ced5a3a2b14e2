"""Depth of the subject image, the draft's layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.loading import build_random, build_untrained, dtype_of, load_model
from toffee_pipeline.models.weights import hub_options, load_pretrained, resolve
from toffee_pipeline.schema.subjects import Subject


class DepthEstimator:
    """A network that predicts relative inverse depth, such as DPT or Depth Anything."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.device = device
        if spec.weights == "untrained":
            model, self.processor = build_untrained("depth")
            self.model = model.to(device)
        elif spec.weights == "random":
            self.model, self.processor = build_random("depth", device, dtype_of(spec))
        else:
            self.model = load_model(AutoModelForDepthEstimation, spec, "depth", device)
            self.processor = load_pretrained(AutoImageProcessor, resolve(spec, "depth"), **hub_options(spec))

    @torch.inference_mode()
    def estimate(self, images: Sequence[np.ndarray], subjects: Sequence[Subject]) -> list[np.ndarray | SampleError]:
        """Inverse depth, stretched to 0..1 per image.

        Args:
            images: uint8 (H, W, 3) each, of one size.
            subjects: not used; the renderer's stand-in needs them.

        Returns:
            float32 (H, W) each, 1 = nearest (a flat image is all 0); a SampleError where it is not finite.
        """
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"].to(self.device)
        predicted = self.model(pixels.to(self.model.dtype)).predicted_depth.float()
        resized = F.interpolate(predicted[:, None], size=images[0].shape[:2], mode="bicubic", align_corners=False)
        return [_stretch(sample) for sample in resized[:, 0].cpu()]


def _stretch(depth: Tensor) -> np.ndarray | SampleError:
    if not depth.isfinite().all():
        return SampleError("the depth holds NaN or infinite values", reason="not_finite")
    low, high = depth.min(), depth.max()
    return ((depth - low) / (high - low).clamp(min=1e-12)).clamp(0, 1).numpy()
