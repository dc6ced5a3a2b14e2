"""A witness for pair truth: of several renders in one layout it picks the one that a picture shows.

It compares features of places, as LPIPS does (https://arxiv.org/abs/1801.03924), and learns them by contrast: the truth
in another light and made soft, against other subjects and other changes. It is trained on renders of its own only, used
by the measurements alone, and not part of the package's weights.
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

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.recipe.data import shifted, to_tensor
from toffee_pipeline.recipe.line_up_data import NUM_OTHER_TOYS, LineUps, load_line_ups
from toffee_pipeline.recipe.loop import fit

NUM_HELD_OUT = 160
"""So many line-ups at the end are never trained on."""
BATCH = 10
STEPS = 300
WIDTHS, FEATURES = (32, 48, 64), 24
SHIFT_PX = 2


class Witness(nn.Module):
    """Images (b, 3, 64, 64) in -1..1 to features (b, d): of places of 4 px and of 8 px."""

    def __init__(self) -> None:
        super().__init__()
        norm = partial(nn.GroupNorm, 8)
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2, bias=False), norm(WIDTHS[0]), nn.ReLU()
        )
        self.blocks = nn.ModuleList(
            BasicBlock(
                width,
                wider,
                stride=2,
                downsample=nn.Sequential(nn.Conv2d(width, wider, 1, stride=2, bias=False), norm(wider)),
                norm_layer=norm,
            )
            for width, wider in zip(WIDTHS, WIDTHS[1:], strict=False)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, FEATURES, 1) for width in WIDTHS[1:])
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        hidden, features = self.stem(images), []
        for block, head in zip(self.blocks, self.heads, strict=True):
            hidden = block(hidden)
            places = head(hidden).float()
            features.append(places.flatten(1) / (places.shape[-1] * places.shape[-2]) ** 0.5)
        return torch.cat(features, 1)

    def logits(self, asked: Tensor, shown: Tensor) -> Tensor:
        """Features (n, d) and (n, m, d) to the likeness of each that is shown, (n, m)."""
        return (asked[:, None] - shown).square().sum(2) * -self.log_scale.exp()


@torch.inference_mode()
def identify(witness: Witness, pictures: Sequence[np.ndarray], shown: Sequence[np.ndarray]) -> list[int]:
    """For each picture the place of the render in the line-up that it shows; uint8 (64, 64, 3) all."""
    features = witness(to_tensor(np.stack([*pictures, *shown])))
    asked, line_up = features.split([len(pictures), len(shown)])
    return witness.logits(asked, line_up.expand(len(pictures), -1, -1)).argmax(1).tolist()


@torch.inference_mode()
def evaluate_witness(witness: Witness, data: LineUps) -> dict[str, float]:
    """Share of the held-out line-ups in which the truth wins: by category among changes, and "subject" among toys.

    The truth is in another light and soft. Where it cannot be told from a change, that one is left out.
    """
    rows = slice(len(data.asked) - NUM_HELD_OUT, None)
    likeness = _likeness(witness, data, np.arange(len(data.asked))[rows], np.random.default_rng(0))
    first, won = likeness[:, :1], {}
    changes, toys = likeness[:, 1:-NUM_OTHER_TOYS], likeness[:, -NUM_OTHER_TOYS:]
    seen = torch.from_numpy(data.differs[rows, 1:-NUM_OTHER_TOYS].any(1))
    shown = (first > changes).all(1)
    for place, category in enumerate(CATEGORIES):
        won[category] = shown[torch.from_numpy(data.categories[rows] == place) & seen].float().mean().item()
    return won | {"subject": (first > toys).all(1).float().mean().item()}


def train_witness(work_dir: Path, steps: int = STEPS) -> Witness:
    """The trained witness; from its checkpoint, if that is finished. Renders what it learns from."""
    data, witness = load_line_ups(work_dir), Witness()

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = rng.choice(len(data.asked) - NUM_HELD_OUT, BATCH, replace=False)
        likeness = _likeness(witness, data, rows, rng)
        loss = F.cross_entropy(likeness, torch.zeros(len(rows), dtype=torch.long))
        return loss, {"loss": loss.item(), "right": (likeness.argmax(1) == 0).float().mean().item()}

    return fit(
        "witness",
        witness,
        loss_fn,
        steps=steps,
        peak_lr=2e-3,
        work_dir=work_dir,
        ema_decay=0.99,
        evaluate=lambda trained: evaluate_witness(trained, data),
        evaluate_every=100,
    )


def _likeness(witness: Witness, data: LineUps, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Of what is asked for, soft, and each that is shown: (n, m), -inf for what cannot be told from the truth."""
    shown = data.shown[rows]
    asked = witness(_softened(to_tensor(data.asked[rows]), rng))
    features = witness(to_tensor(shown.reshape(-1, *shown.shape[2:]))).unflatten(0, shown.shape[:2])
    alike = torch.from_numpy(~data.differs[rows])
    alike[:, 0] = False
    return witness.logits(asked, features).masked_fill(alike, -torch.inf)


def _softened(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The images moved, blurred, in blocks, tinted and noisy, each to a degree of its own, as generated ones are."""

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(images), *shape)).astype(np.float32))

    images = shifted(images, SHIFT_PX, rng)
    blurred = F.avg_pool2d(F.pad(images, (2,) * 4, mode="replicate"), 5, stride=1)
    blocks = F.interpolate(F.avg_pool2d(images, 4), scale_factor=4, mode="bilinear")
    images = images.lerp(blurred, draw(-0.3, 0.8, 1, 1, 1).clamp(min=0))
    images = images.lerp(blocks, draw(-0.5, 0.7, 1, 1, 1).clamp(min=0))
    images = images * draw(0.88, 1.12, 3, 1, 1) + draw(-0.08, 0.08, 3, 1, 1)
    noise = torch.from_numpy(rng.standard_normal(images.shape, np.float32))
    return images + noise * draw(0, 0.1, 1, 1, 1)
