"""A judge for what the nano networks draw: it names what a picture shows, and knows a subject again.

It is trained on renders of its own only, used by the measurements alone, and not part of the package's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from toffee_pipeline.recipe.data import to_tensor
from toffee_pipeline.recipe.loop import fit
from toffee_pipeline.recipe.probe_data import HEADS, UNKNOWN, ProbeData, load_probe_data

NUM_HELD_OUT = 100
"""So many groups at the end are never trained on."""
GROUPS_PER_BATCH = 12
STEPS = 800
WIDTHS = (32, 48, 64, 96)
IDENTITY_DIM = 64
SHIFT_PX = 3
TEMPERATURE = 0.1
CHECKPOINT = "probe"
BATCH = 100


class Probe(nn.Module):
    """Images (b, 3, 64, 64) in -1..1 to logits of each head and to unit vectors (b, IDENTITY_DIM) of the subject."""

    def __init__(self) -> None:
        super().__init__()
        norm = partial(nn.GroupNorm, 8)
        blocks = [
            BasicBlock(
                width,
                wider,
                stride=2,
                downsample=nn.Sequential(nn.Conv2d(width, wider, 1, stride=2, bias=False), norm(wider)),
                norm_layer=norm,
            )
            for width, wider in zip(WIDTHS, WIDTHS[1:], strict=False)
        ]
        self.trunk = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2, bias=False),
            norm(WIDTHS[0]),
            nn.ReLU(),
            *blocks,
            nn.Flatten(),  # where a thing is tells what it is: no mean over the places
            nn.Linear(WIDTHS[-1] * 16, 256),
            nn.ReLU(),
        )
        self.sizes = [*map(len, HEADS.values()), IDENTITY_DIM]
        self.out = nn.Linear(256, sum(self.sizes))

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        *logits, identity = self.out(self.trunk(images)).float().split(self.sizes, 1)
        return dict(zip(HEADS, logits, strict=True)), F.normalize(identity, dim=1)


@torch.inference_mode()
def judge(probe: Probe, images: Sequence[np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """For uint8 (64, 64, 3) images: the index of each head's answer, int (n,), and the unit vectors of the subjects."""
    outputs = [probe(to_tensor(np.stack(images[start : start + BATCH]))) for start in range(0, len(images), BATCH)]
    answers = {head: torch.cat([logits[head] for logits, _ in outputs]).argmax(1).numpy() for head in HEADS}
    return answers, torch.cat([identity for _, identity in outputs]).numpy()


def evaluate_probe(probe: Probe, data: ProbeData) -> dict[str, float]:
    """Share of the held-out renders that each head names right, in the heads' order; "identity": of one in three."""
    held_out = slice(-NUM_HELD_OUT, None)
    rgb = data.rgb[held_out]
    answers, identities = judge(probe, list(rgb.reshape(-1, *rgb.shape[-3:])))
    shares = {}
    for head in HEADS:
        truth = data.labels[head][held_out].ravel()
        known = truth != UNKNOWN
        shares[head] = float((answers[head] == truth)[known].mean())
    likeness = _likeness(torch.from_numpy(identities.reshape(*rgb.shape[:3], -1)))
    return shares | {"identity": (likeness.argmax(2) == torch.arange(rgb.shape[1])).float().mean().item()}


def train_probe(work_dir: Path, steps: int = STEPS) -> Probe:
    """The trained judge; from its checkpoint, if that is finished. Renders what it learns from."""
    data, probe = load_probe_data(work_dir), Probe()

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = rng.choice(len(data.rgb) - NUM_HELD_OUT, GROUPS_PER_BATCH, replace=False)
        rgb = data.rgb[rows]
        logits, identities = probe(_softened(to_tensor(rgb.reshape(-1, *rgb.shape[-3:])), rng))
        likeness = _likeness(identities.reshape(*rgb.shape[:3], -1)) / TEMPERATURE
        same = torch.arange(rgb.shape[1]).expand(len(rows), -1)
        losses = {"identity": F.cross_entropy(likeness, same) + F.cross_entropy(likeness.mT, same)} | {
            head: F.cross_entropy(logits[head], torch.from_numpy(data.labels[head][rows].ravel()), ignore_index=UNKNOWN)
            for head in HEADS
        }
        return torch.stack([*losses.values()]).sum(), {name: loss.item() for name, loss in losses.items()}

    return fit(
        CHECKPOINT,
        probe,
        loss_fn,
        steps=steps,
        peak_lr=2e-3,
        work_dir=work_dir,
        weight_decay=0.05,
        ema_decay=0.99,
        evaluate=lambda trained: evaluate_probe(trained, data),
        evaluate_every=200,
    )


def _likeness(identities: Tensor) -> Tensor:
    """(groups, toys, lights, d) to cosines of each toy in one light and each in the other, (groups, toys, toys)."""
    return identities[:, :, 0] @ identities[:, :, 1].mT


def _softened(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The images moved, blurred, in blocks, tinted and noisy, each to a degree of its own, as generated ones are."""

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(images), *shape)).astype(np.float32))

    top, left = rng.integers(0, 2 * SHIFT_PX + 1, 2)
    height, width = images.shape[-2:]
    images = F.pad(images, (SHIFT_PX,) * 4, mode="replicate")[..., top : top + height, left : left + width]
    blurred = F.avg_pool2d(F.pad(images, (2,) * 4, mode="replicate"), 5, stride=1)
    blocks = F.interpolate(F.avg_pool2d(images, 4), scale_factor=4, mode="bilinear")
    images = images.lerp(blurred, draw(-0.3, 0.8, 1, 1, 1).clamp(min=0))
    images = images.lerp(blocks, draw(-0.5, 0.5, 1, 1, 1).clamp(min=0))
    images = images * draw(0.88, 1.12, 3, 1, 1) + draw(-0.08, 0.08, 3, 1, 1)
    return images + torch.randn_like(images) * draw(0, 0.1, 1, 1, 1)
