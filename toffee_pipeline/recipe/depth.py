"""Trains the nano Depth Anything: the renderer's inverse depth from its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.tiny.perception import build_depth
from toffee_pipeline.recipe.data import WorldData, load_images, to_tensor
from toffee_pipeline.recipe.loop import fit

BATCH = 32
GRADIENT_WEIGHT = 2.0
OUTLINE_PX = 2
SOFTENED = 0.4
"""Share of training pictures that are made worse, as generated ones are."""


def soften(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blurs some of the pictures (b, 3, 64, 64), -1..1, and adds noise: drawn pictures are not as clean as renders."""
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.from_numpy(rng.random((len(images), 1, 1, 1)) * (rng.random((len(images), 1, 1, 1)) < SOFTENED))
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    return torch.lerp(images, blurred + 0.15 * noise, share.float()).clamp(-1, 1)


def depth_loss(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of inverse depths (b, 64, 64), and that of their gradients at 1 and 2 px, which keeps
    outlines sharp."""
    difference = predicted - true
    gradient = torch.stack(
        [
            (difference[:, step:] - difference[:, :-step]).abs().mean()
            + (difference[:, :, step:] - difference[:, :, :-step]).abs().mean()
            for step in (1, 2)
        ]
    ).mean()
    return difference.abs().mean(), gradient


def depth_figures(predicted: np.ndarray, data: WorldData) -> dict[str, float]:
    """Mean Pearson correlation with the true inverse depth of the held-out photos, over the whole picture and over the
    pixels near the subject's outline; `predicted` is (n, 64, 64)."""
    true, mask = data.inverse_depth[data.num_train :, 0].astype(np.float32), data.mask[data.num_train :, 0]
    inside = torch.from_numpy(mask)[:, None].float()
    window, pad = 2 * OUTLINE_PX + 1, OUTLINE_PX
    grown, shrunk = F.max_pool2d(inside, window, 1, pad), -F.max_pool2d(-inside, window, 1, pad)
    outline = (grown > shrunk)[:, 0].numpy()
    pairs = list(zip(predicted, true, outline, strict=True))
    whole = [np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] for ours, theirs, _ in pairs]
    near = [np.corrcoef(ours[where], theirs[where])[0, 1] for ours, theirs, where in pairs]
    return {
        "correlation": float(np.mean(whole)),
        "correlation_5th_percentile": float(np.quantile(whole, 0.05)),
        "outline_correlation": float(np.mean(near)),
    }


def evaluate_depth(spec: ModelSpec, data: WorldData) -> dict[str, float]:
    """`depth_figures` of what the pipeline's own estimator gives."""
    estimator = DepthEstimator(spec, torch.device("cpu"))
    estimated = estimator.estimate(list(data.rgb[data.num_train :, 0]), [])
    return depth_figures(np.stack([depth for depth in estimated if isinstance(depth, np.ndarray)]), data)


def train_depth(work_dir: Path, weights_dir: Path, steps: int) -> None:
    """Writes `weights_dir/depth`, half precision, with its image processor."""
    data = load_images(work_dir)
    torch.manual_seed(0)
    model, processor = build_depth()
    model.backbone.set_attn_implementation("eager")  # on the CPU the fused kernel's backward pass is slower
    nn.init.constant_(model.head.conv3.bias, 0.4)  # the mean: below 0 its ReLU would pass no gradient
    model = model.to(memory_format=torch.channels_last)
    held_out = to_tensor(data.rgb[data.num_train :, 0])

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = rng.integers(data.num_train, size=BATCH)
        true = torch.from_numpy(data.inverse_depth[ids, 0].astype(np.float32))
        predicted = model(soften(to_tensor(data.rgb[ids, 0]), rng)).predicted_depth.float()
        value, gradient = depth_loss(predicted, true)
        return value + GRADIENT_WEIGHT * gradient, {"l1": value.item(), "gradient": gradient.item()}

    average = fit(
        "depth",
        model,
        loss_fn,
        steps=steps,
        peak_lr=1.5e-3,
        work_dir=work_dir,
        evaluate=lambda trained: depth_figures(trained(held_out).predicted_depth.numpy(), data),
        evaluate_every=500,
    )
    average.backbone.set_attn_implementation("sdpa")
    average.to(memory_format=torch.contiguous_format).half().save_pretrained(weights_dir / "depth")
    processor.save_pretrained(weights_dir / "depth")
