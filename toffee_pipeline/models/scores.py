"""The filter's scores (paper section 3.2) and DreamBench's: CLIP text similarity and DINO image similarity."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, Dinov2Model

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.models.clip import load_clip
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.tensors import (
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    center_crop,
    normalize,
    resize,
    to_tensor,
)
from toffee_pipeline.models.weights import loading_from, resolve

RESIZERS = ThreadPoolExecutor(4, "resizing")
"""Pillow lets other threads run meanwhile; one image after the other takes longer than a GPU's part."""


class ClipScorer:
    """CLIP's similarity of images and prompts; of any model of open_clip."""

    def __init__(self, spec: ClipSpec, device: torch.device) -> None:
        self.device = device
        model, self.preprocess, self.tokenizer = load_clip(spec)
        self.model = model.to(device)
        self.dtype = next(model.parameters()).dtype

    @torch.inference_mode()
    def score(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[float]:
        """Cosine, -1..1, of each image (uint8 (H, W, 3)) and its prompt; NaN where an output is not finite."""
        return _cosines(self.encode_images(images), self.encode_texts(prompts))

    @torch.inference_mode()
    def encode_texts(self, prompts: Sequence[str]) -> Tensor:
        """Each to a projection float32 (b, c), not normalised."""
        return self.model.encode_text(self.tokenizer(list(prompts)).to(self.device)).float()

    @torch.inference_mode()
    def gain(self, before: Sequence[np.ndarray], after: Sequence[np.ndarray], prompts: Sequence[str]) -> list[float]:
        """How much more the images in `after` are like their prompts than those in `before`: -2..2, NaN as `score`."""
        text = self.encode_texts(prompts)
        of_before, of_after = (_cosines(self.encode_images(images), text) for images in (before, after))
        return [second - first for first, second in zip(of_before, of_after, strict=True)]

    @torch.inference_mode()
    def encode_images(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to projections float32 (b, c), not normalised; CLIP-I is their cosine."""
        small = RESIZERS.map(lambda image: self.preprocess(Image.fromarray(image)), images)
        pixels = torch.stack(list(small)).to(self.device)
        return self.model.encode_image(pixels.to(self.dtype)).float()


class AestheticScorer:
    """How pleasing an image looks: a linear head on CLIP's normalised image features, as LAION's predictors for the
    same CLIP (github.com/LAION-AI/aesthetic-predictor)."""

    def __init__(self, clip: ClipSpec, head: ModelSpec, device: torch.device) -> None:
        self.clip = ClipScorer(clip, device)
        source = resolve(head, "aesthetic")
        with loading_from(source):
            state = load_file(str(source))
            self.weight, self.bias = (state[name].float().to(device) for name in ("weight", "bias"))

    @torch.inference_mode()
    def score(self, images: Sequence[np.ndarray]) -> list[float]:
        """The head's value for each uint8 (H, W, 3), about 1..10; NaN where the output is not finite."""
        features = F.normalize(self.clip.encode_images(images), dim=-1)
        return F.linear(features, self.weight, self.bias).squeeze(-1).tolist()


class DinoScorer:
    """Cosine of DINO's CLS tokens. The paper's thresholds hold for DINO ViT-S/16."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.device, self.is_published = device, spec.is_published
        network = "dino" if spec.weights == "untrained" else "filter_dino"
        self.model = load_model(AutoModel if self.is_published else Dinov2Model, spec, network, device)

    @torch.inference_mode()
    def score(self, images_a: Sequence[np.ndarray], images_b: Sequence[np.ndarray]) -> list[float]:
        """Cosine, -1..1, of each uint8 (H, W, 3) in `images_a` and its partner; NaN where the output is not finite."""
        return _cosines(self.encode(images_a), self.encode(images_b))

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to CLS tokens float32 (b, c), not normalised."""
        pixels = to_tensor(images, self.device)
        if self.is_published:
            pixels = normalize(center_crop(resize(pixels, 256), 224), IMAGENET_MEAN, IMAGENET_STD)
        else:
            pixels = normalize(resize(pixels, self.model.config.image_size), HALF, HALF)
        return self.model(pixels.to(self.model.dtype)).last_hidden_state[:, 0].float()


def _cosines(first: Tensor, second: Tensor) -> list[float]:
    return F.cosine_similarity(first, second, dim=-1).tolist()
