"""An image classifier that knows what is unsafe."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.stages import CheckImagesConfig
from toffee_pipeline.errors import ConfigError, SampleError
from toffee_pipeline.models.loading import dtype_of
from toffee_pipeline.models.weights import config_options, hub_options, load_pretrained, resolve


class ImageSafety:
    """Any classifier of `AutoModelForImageClassification`, in safetensors. Raises ConfigError for labels it lacks."""

    def __init__(self, spec: ModelSpec, settings: CheckImagesConfig, device: torch.device) -> None:
        source = resolve(spec, "image_safety")
        self.device = device
        self.processor = load_pretrained(AutoImageProcessor, source, **config_options(spec))
        model = load_pretrained(
            AutoModelForImageClassification, source, dtype=dtype_of(spec), use_safetensors=True, **hub_options(spec)
        )
        self.model = model.eval().to(device)
        known = self.model.config.label2id
        if unknown := [label for label in settings.unsafe_labels if label not in known]:
            raise ConfigError(
                f"stages.check_images.unsafe_labels: models.image_safety has no {unknown[0]!r}; "
                f"allowed are {', '.join(known)}"
            )
        self.unsafe = [known[label] for label in settings.unsafe_labels]

    @torch.inference_mode()
    def score(self, images: Sequence[np.ndarray]) -> list[float | SampleError]:
        """The probability, 0..1, that each uint8 (H, W, 3) shows something unsafe: the sum over the unsafe labels."""
        inputs = self.processor([Image.fromarray(image) for image in images], return_tensors="pt")
        logits = self.model(inputs["pixel_values"].to(self.device, self.model.dtype)).logits.float()
        scores = logits.softmax(-1)[:, self.unsafe].sum(-1).tolist()
        broken = SampleError("the classifier's output is not finite")
        return [score if math.isfinite(score) else broken for score in scores]
