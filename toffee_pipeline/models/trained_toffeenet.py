"""A ToffeeNet that jobs/train_toffeenet.py trained, with the frozen networks that its config names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from toffee_pipeline.config.base import ModelSpec, SamplingConfig
from toffee_pipeline.config.evaluate import TrainedModel
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.errors import ConfigError, SampleError
from toffee_pipeline.models.autoencoder import load_training_autoencoder
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.grounded_sam import GroundedSam, subject_alone
from toffee_pipeline.models.loading import build_untrained, computes_bfloat16
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.text_encoder import load_text_encoder
from toffee_pipeline.models.toffeenet import ToffeeNet
from toffee_pipeline.models.weights import resolve
from toffee_pipeline.schema.subjects import Subject


class TrainedToffeeNet:
    """The network, VAE, text encoder and DINO in memory; Grounded-SAM and depth are loaded when first asked for.

    Args:
        spec: a folder as `ToffeeNetNetwork.save` writes it, nano's or an untrained network.
        config: of the training; its `models` name all else.

    Raises ConfigError where a part is missing or broken, and as `resolve`.
    """

    def __init__(self, spec: ModelSpec, config: ToffeeNetTraining, device: torch.device) -> None:
        disable_progress_bar()  # a bar per network would drown what the job says
        self.config, self.device = config, device
        if spec.weights == "untrained":
            self.network = build_untrained("toffeenet")
        else:
            half = device.type == "cuda" and computes_bfloat16(device)  # a CPU's pixels stay float32's on any CPU
            folder = Path(resolve(spec, "toffeenet"))
            self.network = ToffeeNetNetwork.load(folder, torch.bfloat16 if half else torch.float32)
        self.autoencoder = load_training_autoencoder(config, device)
        self.text_encoder, self.tokenizer = load_text_encoder(config.models.base, device)
        self.dino = DinoEncoder(config.models.dino, device)

    def sampler(
        self, sampling: SamplingConfig, dino_scale: float, dino_guidance_scale: float | None = None
    ) -> ToffeeNet:
        """Costs nothing: all samplers share the networks."""
        return ToffeeNet(
            self.network,
            self.autoencoder,
            self.text_encoder,
            self.tokenizer,
            sampling,
            self.device,
            dino_scale=dino_scale,
            dino_guidance_scale=dino_guidance_scale,
        )

    def tokens(self, images: Sequence[np.ndarray], class_names: Sequence[str]) -> Tensor:
        """DINO tokens as the network was trained on them, float32 (b, 1 + n, dino_dim).

        Args:
            images: uint8 (s, s, 3) each, of one size.
            class_names: what each shows, for a network of `dino_input=segmented`.
        """
        if self.config.dino_input == "segmented":
            images = subject_alone(self.grounded_sam, images, class_names)
        return self.dino.encode(images)

    def find(self, image: np.ndarray, phrase: str) -> np.ndarray | None:
        """Bool (H, W): what the phrase names in uint8 (H, W, 3), or None where it is not found."""
        return self.grounded_sam.segment([image], [Subject("", phrase, "", 0)])[0]

    def depth_of(self, image: np.ndarray) -> np.ndarray:
        """Inverse depth of uint8 (H, W, 3), float32 (H, W) in 0..1. Raises SampleError where it is not finite."""
        depth = self.depth_estimator.estimate([image], [Subject("", "", "", 0)])[0]
        if isinstance(depth, SampleError):
            raise depth
        return depth

    @cached_property
    def grounded_sam(self) -> GroundedSam:
        """Raises ConfigError where the config names none."""
        models = self.config.models
        if models.detector is None or models.segmenter is None:
            raise ConfigError(f"the run names no Grounded-SAM: {_set('detector')} {_set('segmenter')}")
        return GroundedSam(models.detector, models.segmenter, self.config.grounding, self.device)

    @cached_property
    def depth_estimator(self) -> DepthEstimator:
        """The config's; nano's for a miniature, whose training reads the depth of its dataset. Raises ConfigError
        where there is none."""
        models = self.config.models
        if models.depth is not None:
            return DepthEstimator(models.depth, self.device)
        if models.base.weights == "pretrained":
            raise ConfigError(f"the run names no depth network: {_set('depth')}")
        return DepthEstimator(ModelSpec(weights="nano"), self.device)


def load_trained(spec: TrainedModel, device: torch.device) -> TrainedToffeeNet:
    """The one that an evaluation asks."""
    return TrainedToffeeNet(spec, spec.training, device)


def _set(key: str) -> str:
    return f"--set models.{key}.path=..."
