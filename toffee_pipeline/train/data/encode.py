"""The frozen networks of a training job: images to latents and DINO tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from toffee_pipeline.config.train import ToffeeNetTraining, TrainingConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.autoencoder import load_training_autoencoder
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.grounded_sam import GroundedSam, subject_alone
from toffee_pipeline.models.loading import no_autocast
from toffee_pipeline.schema.subjects import Subject

Images = Sequence[np.ndarray] | np.ndarray
"""uint8 (s, s, 3) each, or (b, s, s, 3)."""


class FrozenEncoders:
    """VAE and DINO; Grounded-SAM where DINO is to see the subject alone, and a depth network where one is configured.

    What they give is computed in their own dtype, whatever a training step does under autocast, and rounded to float16,
    as a cache holds it, so that training with and without a cache is the same.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        disable_progress_bar()  # a bar per network would drown the progress line
        self.device = device
        self.autoencoder = load_training_autoencoder(config, device)
        self.dino = DinoEncoder(config.models.dino, device)
        self.segmenter: GroundedSam | None = None
        self.depth_estimator: DepthEstimator | None = None
        if isinstance(config, ToffeeNetTraining):
            if config.dino_input == "segmented":
                detector, segmenter = config.models.detector, config.models.segmenter
                assert detector is not None and segmenter is not None  # the config's own validator
                self.segmenter = GroundedSam(detector, segmenter, config.grounding, device)
            if config.models.depth is not None:
                self.depth_estimator = DepthEstimator(config.models.depth, device)

    def latents(self, images: Images) -> Tensor:
        """uint8 (s, s, 3) each to scaled latents, float32 (b, c, h, w) on the device."""
        return self.autoencoder.encode(list(images)).half().float()

    def tokens(self, images: Images, class_names: Sequence[str]) -> Tensor:
        """uint8 (s, s, 3) each to float32 (b, 1 + n, c) on the device; of the segmented subjects where configured."""
        with no_autocast(self.device):
            if self.segmenter is not None:
                images = subject_alone(self.segmenter, list(images), class_names)
            return self.dino.encode(list(images)).half().float()

    def depths(self, images: Images) -> np.ndarray:
        """uint8 (s, s, 3) each to inverse depth, float16 (b, s, s) in 0..1; zeros where it is not finite."""
        assert self.depth_estimator is not None
        with no_autocast(self.device):
            estimated = self.depth_estimator.estimate(list(images), [Subject("", "", "", 0)] * len(images))
        return np.stack(
            [np.zeros(i.shape[:2]) if isinstance(d, SampleError) else d for d, i in zip(estimated, images, strict=True)]
        ).astype(np.float16)
