"""Grounded-SAM: the subject's mask from its class name (paper section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from transformers import (
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    GroundingDinoProcessor,
    OwlViTProcessor,
    PreTrainedModel,
)

from toffee_pipeline.config.base import GroundingConfig, ModelSpec, SegmenterSpec
from toffee_pipeline.images import black_out
from toffee_pipeline.models.loading import build_random, build_untrained, dtype_of, load_model
from toffee_pipeline.models.weights import hub_options, load_pretrained, require_digest, resolve
from toffee_pipeline.schema.subjects import Subject


class GroundedSam:
    """Grounding DINO or OWL-ViT finds the box that a phrase names, Segment Anything its mask."""

    def __init__(
        self, detector: ModelSpec, segmenter: SegmenterSpec, settings: GroundingConfig, device: torch.device
    ) -> None:
        self.device, self.settings = device, settings
        if detector.weights == "untrained":
            model, self.processor = build_untrained("detector")
            self.detector = model.to(device)
        elif detector.weights == "random":
            self.detector, self.processor = build_random("detector", device, dtype_of(detector))
        else:
            self.detector = load_model(AutoModelForZeroShotObjectDetection, detector, "detector", device)
            self.processor = load_pretrained(AutoProcessor, resolve(detector, "detector"), **hub_options(detector))
        self.sam = load_sam(segmenter).to(device)
        self.to_sam = ResizeLongestSide(self.sam.image_encoder.img_size)

    @torch.inference_mode()
    def segment(self, images: Sequence[np.ndarray], subjects: Sequence[Subject]) -> list[np.ndarray | None]:
        """The mask of the best box for each subject's class name.

        Args:
            images: uint8 (H, W, 3) each, of one size.

        Returns:
            bool (H, W) each; None where no box reaches the thresholds of the settings.
        """
        return self._segment(images, [subject.class_name for subject in subjects])

    @torch.inference_mode()
    def segment_parts(
        self, images: Sequence[np.ndarray], subjects: Sequence[Subject], phrases: Sequence[str]
    ) -> list[np.ndarray | None]:
        """As `segment`, for what the phrases name: "a handle". subjects: not used, the renderer needs them."""
        return self._segment(images, [re.sub(r"^(an?|the|its) ", "", phrase) for phrase in phrases])

    def _segment(self, images: Sequence[np.ndarray], phrases: Sequence[str]) -> list[np.ndarray | None]:
        boxes = self.detect(images, phrases)
        found = [index for index, box in enumerate(boxes) if box is not None]
        masks: list[np.ndarray | None] = [None] * len(images)
        if found:  # SAM raises for an image without boxes
            prompts = [box for box in boxes if box is not None]
            for index, result in zip(found, self._masks([images[index] for index in found], prompts), strict=True):
                masks[index] = result
        return masks

    @torch.inference_mode()
    def detect(self, images: Sequence[np.ndarray], phrases: Sequence[str]) -> list[Tensor | None]:
        """The best box (4,) in pixels x0, y0, x1, y1 for each phrase, or None."""
        return detect_boxes(self.detector, self.processor, images, phrases, self.settings)

    def _masks(self, images: Sequence[np.ndarray], boxes: Sequence[Tensor]) -> list[np.ndarray]:
        batch = []
        for image, box in zip(images, boxes, strict=True):
            size = image.shape[:2]
            pixels = torch.from_numpy(self.to_sam.apply_image(image)).permute(2, 0, 1)
            prompt = self.to_sam.apply_boxes_torch(box[None], size)
            batch.append({"image": pixels.to(self.device), "boxes": prompt, "original_size": size})
        return [output["masks"][0, 0].cpu().numpy() for output in self.sam(batch, multimask_output=False)]


def subject_alone(segmenter: GroundedSam, images: Sequence[np.ndarray], class_names: Sequence[str]) -> list[np.ndarray]:
    """uint8 (s, s, 3) each, black but for the subject; one that is not found leaves its image whole."""
    masks = segmenter.segment(images, [Subject("", name, "", 0) for name in class_names])
    return [image if mask is None else black_out(image, ~mask) for image, mask in zip(images, masks, strict=True)]


def detect_boxes(
    detector: PreTrainedModel,
    processor: GroundingDinoProcessor | OwlViTProcessor,
    images: Sequence[np.ndarray],
    phrases: Sequence[str],
    thresholds: GroundingConfig,
) -> list[Tensor | None]:
    """The best box (4,) in pixels x0, y0, x1, y1 for each phrase in its image, uint8 (H, W, 3) of one size; or None.

    A phrase that is too long for the detector's text encoder is cut. OWL-ViT scores a phrase as a whole, so it has no
    `text_threshold`.
    """
    grounding = isinstance(processor, GroundingDinoProcessor)
    text = [[_one_label(phrase) if grounding else phrase] for phrase in phrases]
    padding = True if grounding else "max_length"
    inputs = processor(images=list(images), text=text, padding=padding, truncation=True, return_tensors="pt")
    inputs = inputs.to(detector.device)
    inputs["pixel_values"] = inputs["pixel_values"].to(detector.dtype)
    options = (
        {"input_ids": inputs["input_ids"], "text_threshold": thresholds.text_threshold}
        if grounding
        else {"text_labels": text}
    )
    results = processor.post_process_grounded_object_detection(
        detector(**inputs),
        threshold=thresholds.box_threshold,
        target_sizes=[image.shape[:2] for image in images],
        **options,
    )
    return [_best_box(result) for result in results]


def _one_label(phrase: str) -> str:
    """Without the signs that part labels for Grounding DINO, whose processor takes no label with a full stop."""
    return " ".join(phrase.replace(".", " ").replace("?", " ").split()) or "object"


def _best_box(result: dict) -> Tensor | None:
    named = [index for index, label in enumerate(result["text_labels"]) if label]
    if not named:
        return None
    return result["boxes"][max(named, key=lambda index: float(result["scores"][index]))].float()


def load_sam(spec: SegmenterSpec) -> Sam:
    """Segment Anything on the CPU in eval mode, float32.

    Pretrained weights are Meta's `.pth`: the file at `path`, or the file that `variant` names in the hub repository
    `id`. Raises ConfigError where it has not the SHA-256 that the spec names.
    """
    if spec.weights == "untrained":
        return build_untrained("segmenter")
    if spec.weights == "random":
        return sam_model_registry[spec.type](checkpoint=None).eval()
    source = resolve(spec, "segmenter")
    if spec.weights == "nano":
        from toffee_pipeline.models.tiny.perception import load_segmenter

        return load_segmenter(Path(source))
    path = source if isinstance(source, Path) else Path(hf_hub_download(source, spec.variant, revision=spec.revision))
    require_digest(spec, path)
    sam = sam_model_registry[spec.type](checkpoint=None)
    sam.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return sam.eval()
