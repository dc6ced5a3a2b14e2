"""A judge for what the nano networks draw: it names class, place and style of a picture.

It is trained on renders only, used by the measurements alone, and not part of the package's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from toffee_pipeline.nano import world
from toffee_pipeline.recipe.data import WorldData, load_images, shifted, to_tensor
from toffee_pipeline.recipe.loop import fit

BATCH = 64
STEPS = 2000
HEADS = {"class": len(world.CLASS_NAMES), "background": len(world.BACKGROUNDS), "style": len(world.STYLES)}
SHIFT_PX = 4
CHECKPOINT = "probe"


class Probe(nn.Module):
    """A ResNet of 10 layers: images (b, 3, 64, 64) in -1..1 to logits of each head."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ResNet(
            BasicBlock, [1, 1, 1, 1], num_classes=sum(HEADS.values()), norm_layer=partial(nn.GroupNorm, 16)
        )
        self.network.conv1 = nn.Conv2d(3, 64, 5, stride=2, padding=2, bias=False)
        self.network.maxpool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        parts = self.network(images).float().split([*HEADS.values()], 1)
        return dict(zip(HEADS, parts, strict=True))


@torch.inference_mode()
def judge(probe: Probe, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """For uint8 (64, 64, 3) images: index of class, background and style, int (n,)."""
    outputs = [probe(to_tensor(np.stack(images[start : start + 100]))) for start in range(0, len(images), 100)]
    return {head: torch.cat([output[head] for output in outputs]).argmax(1).numpy() for head in HEADS}


def labels(data: WorldData, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"class": data.classes[rows], "background": data.backgrounds[rows, 0], "style": data.styles[rows, 0]}


def evaluate_probe(probe: Probe, data: WorldData) -> dict[str, float]:
    """Share of the held-out renders that each head names right."""
    rows = np.arange(data.num_train, len(data.rgb))
    found, truth = judge(probe, list(data.rgb[rows, 0])), labels(data, rows)
    return {head: float((found[head] == truth[head]).mean()) for head in HEADS}


def train_probe(work_dir: Path, steps: int = STEPS) -> Probe:
    """The trained judge; from its checkpoint, if that is finished."""
    data, probe = load_images(work_dir), Probe()

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = rng.integers(data.num_train, size=BATCH)
        output = probe(shifted(to_tensor(data.rgb[rows, 0]), SHIFT_PX, rng))
        truth = {head: torch.from_numpy(value) for head, value in labels(data, rows).items()}
        return sum((F.cross_entropy(output[head], truth[head]) for head in HEADS), torch.zeros(())), {}

    return fit(
        CHECKPOINT,
        probe,
        loss_fn,
        steps=steps,
        peak_lr=2e-3,
        work_dir=work_dir,
        weight_decay=0.05,
        evaluate=lambda trained: evaluate_probe(trained, data),
    )
