"""Trains the nano DINO with what a renderer knows for free: which patches of two views show the same surface point.

Three losses: InfoNCE over patches with canonical coordinates as the key (within a subject, and across subjects of a
class), InfoNCE over CLS tokens with the subject as the key (negatives of the same class included), and a linear read
out of each patch's pixels, so that tokens keep the appearance that the Refiner has to paint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toffee_pipeline.models.tiny.architectures import DINO_DIM, PATCH_PX, build_dino
from toffee_pipeline.recipe.data import VIEWS_PER_SUBJECT, WorldData, load_data, to_tensor
from toffee_pipeline.recipe.loop import fit

NUM_PATCHES = 256
CLASSES_PER_BATCH, SUBJECTS_PER_CLASS = 8, 3
OTHER_PATCHES = 24
SAME_POINT = 0.25
"""Canonical distance (objects are about 1.2 high) below which two patches count as a match."""


class DinoTrainer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dino = build_dino()
        self.pixels = nn.Linear(DINO_DIM, 3 * PATCH_PX**2)
        self.log_scale = nn.Parameter(torch.tensor([2.3, 2.3]))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.dino(images).last_hidden_state.float()
        return tokens[:, 0], tokens[:, 1:]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, 256, 3) twice to (n, 256, 256); 99 where either patch lies off the subject."""
    distances = (a[:, :, None] - b[:, None]).square().sum(-1)
    return torch.where(distances.isnan(), 99.0, distances)


def patch_loss(fa: Tensor, fb: Tensor, distances: Tensor, class_ids: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy from each visible patch of A to its soft match in B; other classes' patches are negatives too."""
    n = len(fa)
    visible = distances.amin(2) < 0.02
    target = torch.softmax(-distances / 0.006, -1)
    others = fb[:, torch.randperm(NUM_PATCHES)[:OTHER_PATCHES]].reshape(-1, DINO_DIM)
    logits = torch.cat([fa @ fb.transpose(1, 2), (fa @ others.T)], -1).float() * scale
    same_class = class_ids[:, None] == class_ids.repeat_interleave(OTHER_PATCHES)[None]
    hidden = torch.cat([torch.zeros(n, NUM_PATCHES, dtype=torch.bool), same_class], 1)[:, None]
    log_probability = logits.masked_fill(hidden, -1e4).log_softmax(-1)[..., :NUM_PATCHES]
    return -(log_probability * target).sum(-1)[visible].mean()


def cls_loss(ca: Tensor, cb: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE; row i of both belongs to one subject."""
    logits = ca @ cb.T * scale
    labels = torch.arange(len(logits))
    return F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)


def evaluate_dino(dino: nn.Module, data: WorldData, count: int = 150) -> dict[str, float]:
    """On held-out subjects: share of patches matched to the right surface point of another view, and recall of the
    subject among `count` by CLS cosine."""
    ids = np.arange(data.num_train, data.num_train + count)
    hits, cls = [], []
    tokens = [
        torch.cat([dino(to_tensor(data.rgb[part, view])).last_hidden_state for part in np.split(ids, 3)])
        for view in (0, 1)
    ]
    for view in tokens:
        cls.append(F.normalize(view[:, 0].float(), dim=-1))
    fa, fb = (F.normalize(view[:, 1:].float(), dim=-1) for view in tokens)
    for row, subject in enumerate(ids):
        xa, xb = (torch.from_numpy(data.coordinates[subject, view].astype(np.float32))[None] for view in (0, 1))
        distance = squared_distances(xa, xb)[0].sqrt()
        visible = distance.amin(1) < 0.12
        match = (fa[row] @ fb[row].T).argmax(1)
        hits.append((distance[torch.arange(NUM_PATCHES), match] < SAME_POINT)[visible].float().mean())
    matched = torch.stack(hits)
    similarity = cls[0] @ cls[1].T
    diagonal = similarity.diag()
    return {
        "patch_match": matched[~matched.isnan()].mean().item(),
        "retrieval": (similarity.argmax(1) == torch.arange(count)).float().mean().item(),
        "same": diagonal.mean().item(),
        "other": ((similarity.sum() - diagonal.sum()) / (count * (count - 1))).item(),
    }


def train_dino(work_dir: Path, weights_dir: Path, steps: int) -> None:
    data = load_data(work_dir, "views")
    trainer = DinoTrainer()
    by_class = [np.flatnonzero(data.classes[: data.num_train] == c) for c in range(data.classes.max() + 1)]
    batch = CLASSES_PER_BATCH * SUBJECTS_PER_CLASS

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        class_ids = rng.choice(len(by_class), CLASSES_PER_BATCH, replace=False)
        a = np.concatenate([rng.choice(by_class[c], SUBJECTS_PER_CLASS, replace=False) for c in class_ids])
        crossed = rng.random(batch) < 0.3
        b = np.where(crossed, [rng.choice(by_class[data.classes[i]]) for i in a], a)
        view_a = rng.integers(VIEWS_PER_SUBJECT, size=batch)
        view_b = (view_a + rng.integers(1, VIEWS_PER_SUBJECT, size=batch)) % VIEWS_PER_SUBJECT
        images = to_tensor(np.concatenate([data.rgb[a, view_a], data.rgb[b, view_b]]))
        cls, patches = trainer(images)
        unit, unit_cls = F.normalize(patches, dim=-1), F.normalize(cls, dim=-1)
        scale = trainer.log_scale.clamp(max=3.5).exp()
        xa, xb = (
            torch.from_numpy(data.coordinates[ids, views].astype(np.float32))
            for ids, views in ((a, view_a), (b, view_b))
        )
        dense = patch_loss(
            unit[:batch], unit[batch:], squared_distances(xa, xb), torch.from_numpy(data.classes[a]), scale[0]
        )
        kept = torch.from_numpy(~crossed)
        instance = cls_loss(unit_cls[:batch][kept], unit_cls[batch:][kept], scale[1])
        target = F.unfold(images, PATCH_PX, stride=PATCH_PX).transpose(1, 2)
        pixel = F.mse_loss(trainer.pixels(patches).float(), target)
        figures = {"dense": dense.item(), "cls": instance.item(), "pixel": pixel.item()}
        return dense + 0.7 * instance + 4 * pixel, figures

    average = fit(
        "dino",
        trainer,
        loss_fn,
        steps=steps,
        peak_lr=1.2e-3,
        work_dir=work_dir,
        evaluate=lambda model: evaluate_dino(model.dino, data),
    )
    average.dino.half().save_pretrained(weights_dir / "dino")
