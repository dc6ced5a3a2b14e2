"""Trains the nano detector: each patch near the subject learns its box, and every patch for each name how well its box
fits the thing of that name, which is 0 for all names but the subject's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou, generalized_box_iou_loss
from transformers import CLIPTokenizer, OwlViTForObjectDetection, OwlViTProcessor

from toffee_pipeline.config.base import GroundingConfig
from toffee_pipeline.models.grounded_sam import detect_boxes
from toffee_pipeline.models.tiny.detector import build_detector
from toffee_pipeline.nano import world
from toffee_pipeline.nano.world_samples import SIZE_PX
from toffee_pipeline.recipe.data import WorldData, load_images, to_tensor
from toffee_pipeline.recipe.loop import fit

BATCH = 64
NUM_STRANGE = 14
"""Names of nothing that each step adds to the class names."""


def boxes_of(masks: np.ndarray) -> Tensor:
    """bool (n, H, W) to the masks' bounding boxes, float32 (n, 4): x0, y0, x1, y1 in 0..1 of the sides."""

    def span(along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = along.shape[1]
        return along.argmax(1) / size, 1 - along[:, ::-1].argmax(1) / size

    (x0, x1), (y0, y1) = span(np.asarray(masks.any(1))), span(np.asarray(masks.any(2)))
    return torch.from_numpy(np.stack([x0, y0, x1, y1], 1).astype(np.float32))


def strange_names(tokenizer: CLIPTokenizer, rng: np.random.Generator) -> list[str]:
    """`NUM_STRANGE` names that no picture shows: half are the world's words for other things, half random letters."""
    known = {word for name in world.CLASS_NAMES for word in name.split()}
    words = sorted({token.removesuffix("</w>") for token in tokenizer.get_vocab() if token.endswith("</w>")} - known)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    others = [word for word in words if len(word) > 2]
    picked = [str(word) for word in rng.choice(others, NUM_STRANGE // 2, replace=False)]
    return picked + ["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(NUM_STRANGE - len(picked))]


def detection_loss(logits: Tensor, boxes: Tensor, truth: Tensor, names: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of the scores, of the boxes, and of the names told apart where the subject is.

    Args:
        logits: (b, patches, n). boxes: (b, patches, 4), centre and size in 0..1.
        truth: (b, 4), corners. names: int (b,), which of the n names the subject.
    """
    corners = box_convert(boxes.float(), "cxcywh", "xyxy")
    truth = truth[:, None].expand_as(corners)
    apart = generalized_box_iou_loss(corners, truth)
    distance = 5 * (corners - truth).abs().sum(-1) + 2 * apart
    closest = distance.topk(boxes.shape[1] // 4, dim=1, largest=False)
    logits = logits.float()
    fit_of_box = (1 - apart).clamp(min=0).detach()[..., None]
    target = fit_of_box * F.one_hot(names, logits.shape[-1])[:, None]
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    scores = (entropy * (logits.sigmoid().detach() - target).square()).sum(-1).mean()
    near = logits.gather(1, closest.indices[..., None].expand(-1, -1, logits.shape[-1]))
    told_apart = F.cross_entropy(near.flatten(0, 1), names.repeat_interleave(near.shape[1]))
    return scores, closest.values.mean(), told_apart


def evaluate_detector(
    model: OwlViTForObjectDetection, processor: OwlViTProcessor, data: WorldData, thresholds: GroundingConfig
) -> dict[str, float]:
    """On held-out photos: overlap (IoU, 0 where nothing is found) of the box for the subject's name with that of its
    mask, share of subjects found, and share of wrong names refused; each photo is asked for three other classes."""
    images = list(data.rgb[data.num_train :, 0])
    truth = boxes_of(data.mask[data.num_train :, 0]) * SIZE_PX
    classes = data.classes[data.num_train :]

    def detect(shift: int) -> list[Tensor | None]:
        names = [world.CLASS_NAMES[(number + shift) % len(world.CLASS_NAMES)] for number in classes]
        return detect_boxes(model, processor, images, names, thresholds)

    found = detect(0)
    overlaps = [
        0.0 if box is None else box_iou(box[None], true[None]).item() for box, true in zip(found, truth, strict=True)
    ]
    wrong = [box for shift in (1, 5, 11) for box in detect(shift)]
    return {
        "iou": float(np.mean(overlaps)),
        "found": float(np.mean([box is not None for box in found])),
        "wrong_refused": float(np.mean([box is None for box in wrong])),
    }


def train_detector(work_dir: Path, weights_dir: Path, steps: int) -> None:
    data = load_images(work_dir)
    model, processor = build_detector()
    tokenizer = processor.tokenizer
    images = data.rgb[: data.num_train, 0]
    truth = boxes_of(data.mask[: data.num_train, 0])
    classes = torch.from_numpy(data.classes[: data.num_train]).long()

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = rng.choice(len(images), BATCH, replace=False)
        names = [*world.CLASS_NAMES, *strange_names(tokenizer, rng)]
        text = tokenizer(names, padding=True, return_tensors="pt")
        queries = model.owlvit.get_text_features(**text).pooler_output
        features, _ = model.image_embedder(to_tensor(images[ids]))
        patches = features.flatten(1, 2)
        logits, _ = model.class_predictor(patches, queries.expand(BATCH, -1, -1))
        boxes = model.box_predictor(patches, features)
        scores, distance, told_apart = detection_loss(logits, boxes, truth[ids], classes[ids])
        figures = {"scores": scores.item(), "boxes": distance.item(), "names": told_apart.item()}
        return 5 * scores + distance + told_apart, figures

    average = fit(
        "detector",
        model,
        loss_fn,
        steps=steps,
        peak_lr=1e-3,
        work_dir=work_dir,
        evaluate=lambda trained: evaluate_detector(trained, processor, data, GroundingConfig()),
        evaluate_every=250,
    )
    average.half().save_pretrained(weights_dir / "detector")
    processor.save_pretrained(weights_dir / "detector")
