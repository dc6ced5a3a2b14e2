"""Trains the nano Segment Anything: the subject's mask from a box around it that is not quite right.

`Sam.forward` computes no gradients and decodes one picture at a time, so training calls its parts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.models.tiny.architectures import SIZE_PX
from toffee_pipeline.models.tiny.perception import build_segmenter, load_segmenter
from toffee_pipeline.recipe.data import WorldData, load_images, to_tensor
from toffee_pipeline.recipe.depth import soften
from toffee_pipeline.recipe.loop import fit

BATCH = 32
BOX_JITTER = 0.1
"""Of the box's side; a detector is no better."""
BOX_JITTER_PX = 2.0


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """float32 (n, 4): x0, y0, x1, y1 in pixels around each mask, bool (n, 64, 64) and not empty."""
    columns, rows = np.asarray(masks.any(1)), np.asarray(masks.any(2))
    size = masks.shape[-1]
    edges = [
        columns.argmax(1),
        rows.argmax(1),
        size - columns[:, ::-1].argmax(1),
        size - rows[:, ::-1].argmax(1),
    ]
    return np.stack(edges, 1).astype(np.float32)


def jitter(boxes: np.ndarray, rng: np.random.Generator, share: float, px: float) -> np.ndarray:
    """Boxes with each edge moved by up to `share` of their sides, and by up to `px` pixels."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + rng.uniform(-1, 1, boxes.shape) * share * sides + rng.uniform(-px, px, boxes.shape)
    return moved.clip(0, SIZE_PX).astype(np.float32)


def predict_logits(sam: Sam, images: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Mask logits (b, 4, 64, 64), the single mask first, and their estimated IoUs (b, 4).

    Args:
        images: (b, 3, 64, 64) in -1..1.
        boxes: (b, 4) in pixels, one to an image.
    """
    embeddings = sam.image_encoder(sam.preprocess((images + 1) * 127.5))
    sparse, dense = sam.prompt_encoder(points=None, boxes=boxes, masks=None)
    # the decoder repeats one embedding for all prompts and adds the dense ones to it: many pictures enter as these
    low_res, iou = sam.mask_decoder.predict_masks(
        torch.zeros_like(embeddings[:1]), sam.prompt_encoder.get_dense_pe(), sparse, dense + embeddings
    )
    return sam.postprocess_masks(low_res.float(), (SIZE_PX, SIZE_PX), (SIZE_PX, SIZE_PX)), iou.float()


def mask_loss(logits: Tensor, iou: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """SAM's focal, dice and IoU losses over all its masks (a box leaves no doubt which is meant), and the mean IoU.

    logits: (b, m, 64, 64). iou: (b, m). masks: float (b, 64, 64), 0 or 1.
    """
    target = masks[:, None].expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = ((1 - torch.exp(-cross_entropy)).square() * cross_entropy).mean()
    share = logits.sigmoid()
    dice = 1 - (2 * (share * target).sum((2, 3)) + 1) / (share.sum((2, 3)) + target.sum((2, 3)) + 1)
    with torch.no_grad():
        true_iou = intersection_over_union(logits > 0, target > 0.5)
    return 20 * focal + dice.mean() + F.mse_loss(iou, true_iou), true_iou[:, 0].mean()


def intersection_over_union(ours: Tensor, theirs: Tensor) -> Tensor:
    """Of bool masks (..., H, W)."""
    return (ours & theirs).sum((-2, -1)) / (ours | theirs).sum((-2, -1)).clamp(min=1)


@torch.no_grad()
def segmenter_figures(sam: Sam, data: WorldData) -> dict[str, float]:
    """Mask IoU on the held-out photos, prompted with the true box, with one that is off by up to 2 px, and with one
    that is off by up to a tenth of its side and 2 px."""
    images = to_tensor(data.rgb[data.num_train :, 0])
    masks = data.mask[data.num_train :, 0]
    rng = np.random.default_rng(0)
    figures: dict[str, float] = {}
    for name, share, px in (("true_box", 0, 0), ("2px", 0, BOX_JITTER_PX), ("tenth", BOX_JITTER, BOX_JITTER_PX)):
        boxes = torch.from_numpy(jitter(boxes_of(masks), rng, share, px))
        logits, _ = predict_logits(sam, images, boxes)
        iou = intersection_over_union(logits[:, 0] > sam.mask_threshold, torch.from_numpy(masks))
        figures |= {f"iou_{name}": iou.mean().item(), f"iou_{name}_5th_percentile": iou.quantile(0.05).item()}
    return figures


def evaluate_segmenter(weights_dir: Path, data: WorldData) -> dict[str, float]:
    """`segmenter_figures` of the network in `weights_dir/segmenter`."""
    return segmenter_figures(load_segmenter(weights_dir / "segmenter"), data)


def train_segmenter(work_dir: Path, weights_dir: Path, steps: int) -> None:
    """Writes `weights_dir/segmenter`, half precision."""
    data = load_images(work_dir)
    torch.manual_seed(0)
    sam = build_segmenter()
    visible = np.flatnonzero(data.mask[: data.num_train, 0].any((1, 2)))

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = rng.choice(visible, BATCH)
        masks = data.mask[ids, 0]
        boxes = torch.from_numpy(jitter(boxes_of(masks), rng, BOX_JITTER, BOX_JITTER_PX))
        logits, iou = predict_logits(sam, soften(to_tensor(data.rgb[ids, 0]), rng), boxes)
        loss, mean_iou = mask_loss(logits, iou, torch.from_numpy(masks).float())
        return loss, {"iou": mean_iou.item()}

    average = fit(
        "segmenter",
        sam,
        loss_fn,
        steps=steps,
        peak_lr=1.5e-3,
        work_dir=work_dir,
        evaluate=lambda trained: segmenter_figures(trained, data),
        evaluate_every=500,
    )
    folder = weights_dir / "segmenter"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.half().contiguous() for name, value in average.state_dict().items()}, folder / "model.safetensors"
    )
