"""The filter's scores (paper section 3.2) and DreamBench's: CLIP text similarity and DINO image similarity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from huggingface_hub import hf_hub_download
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import Compose
from transformers import AutoModel, Dinov2Model

from toffee_pipeline.config.base import ClipSpec, ModelSpec
from toffee_pipeline.models.loading import build_untrained, dtype_of, load_model
from toffee_pipeline.models.tensors import (
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    center_crop,
    normalize,
    resize,
    to_tensor,
)
from toffee_pipeline.models.weights import resolve


class ClipScorer:
    """CLIP's similarity of images and prompts."""

    def __init__(self, spec: ClipSpec, device: torch.device) -> None:
        self.device = device
        model, self.preprocess, self.tokenizer = _load_clip(spec)
        self.model = model.to(device).eval()

    @torch.inference_mode()
    def score(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[float]:
        """Cosine, -1..1, of each image (uint8 (H, W, 3)) and its prompt; NaN where an output is not finite."""
        text = self.tokenizer(list(prompts)).to(self.device)
        return _cosines(self.encode_images(images), self.model.encode_text(text).float())

    @torch.inference_mode()
    def encode_images(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to projections float32 (b, c), not normalised; CLIP-I is their cosine."""
        pixels = torch.stack([self.preprocess(Image.fromarray(image)) for image in images]).to(self.device)
        return self.model.encode_image(pixels.to(self.model.visual.conv1.weight.dtype)).float()


class DinoScorer:
    """Cosine of DINO's CLS tokens. The paper's thresholds hold for DINO ViT-S/16."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.device, self.pretrained = device, spec.weights == "pretrained"
        self.model = load_model(AutoModel if self.pretrained else Dinov2Model, spec, "dino", device)

    @torch.inference_mode()
    def score(self, images_a: Sequence[np.ndarray], images_b: Sequence[np.ndarray]) -> list[float]:
        """Cosine, -1..1, of each uint8 (H, W, 3) in `images_a` and its partner; NaN where the output is not finite."""
        return _cosines(self.encode(images_a), self.encode(images_b))

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to CLS tokens float32 (b, c), not normalised."""
        pixels = to_tensor(images, self.device)
        if self.pretrained:
            pixels = normalize(center_crop(resize(pixels, 256), 224), IMAGENET_MEAN, IMAGENET_STD)
        else:
            pixels = normalize(resize(pixels, self.model.config.image_size), HALF, HALF)
        return self.model(pixels.to(self.model.dtype)).last_hidden_state[:, 0].float()


def _cosines(first: Tensor, second: Tensor) -> list[float]:
    return F.cosine_similarity(first, second, dim=-1).tolist()


def _load_clip(spec: ClipSpec) -> tuple[open_clip.CLIP, Compose, open_clip.SimpleTokenizer]:
    """Model, image preprocessing and tokenizer.

    Pretrained weights: a local file; or a hub id, of which the file `variant` (open_clip_model.safetensors) is taken;
    or one of open_clip's own tags, such as "openai".
    """
    if spec.weights == "pretrained":
        source = str(resolve(spec, "clip"))
        if spec.path is None and "/" in source:
            source = hf_hub_download(source, spec.variant or "open_clip_model.safetensors", revision=spec.revision)
        model, _, preprocess = open_clip.create_model_and_transforms(
            spec.architecture, pretrained=source, precision="fp32"
        )
        return model.to(dtype_of(spec)), preprocess, open_clip.get_tokenizer(spec.architecture)
    if spec.weights == "untrained":
        model, bpe = build_untrained("clip"), {}
    else:
        folder = Path(resolve(spec, "clip"))
        config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
        model = open_clip.CLIP(**config)
        model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
        bpe = {"bpe_path": str(folder / "bpe.txt.gz")}
    tokenizer = open_clip.SimpleTokenizer(**bpe, context_length=model.context_length)
    preprocess = open_clip.image_transform(model.visual.image_size, is_train=False, mean=HALF, std=HALF)
    return model, preprocess, tokenizer
