"""Trains the filter's DINO: whether two pictures show one subject, whatever the pair's change did to it.

It starts as the nano DINO, whose tokens go on being mixed: an encoder that judges a mix should not be the one that was
mixed. A change takes one thing of a subject and leaves the rest, which makes it a question of how much stays: a binary
cross-entropy over all cosines of a batch, whose scale and bias are learned, as the filter's CLIP has it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Dinov2Model

from toffee_pipeline.models.weights import load_pretrained
from toffee_pipeline.recipe.data import to_tensor
from toffee_pipeline.recipe.loop import fit
from toffee_pipeline.recipe.pairs import NOT_IT, PICTURES, PairData, load_pairs, softened
from toffee_pipeline.recipe.verdicts import HOPELESS, dino_verdicts

CLASSES, SUBJECTS_PER_CLASS = 6, 4
"""Of a batch."""
ANCHORS = 2
"""What a pair's target is compared with: the subject, and another view of it."""
SAME_CLASS, OTHER_CLASS = len(PICTURES), len(PICTURES) + 1
"""Kinds of comparisons beside those with its own `PICTURES`: with another subject's, of its class or not."""
HOPELESS_WEIGHT = 0.25


class FilterDinoTrainer(nn.Module):
    def __init__(self, dino: Dinov2Model) -> None:
        super().__init__()
        self.dino = dino
        self.log_scale = nn.Parameter(torch.tensor(2.5))
        self.bias = nn.Parameter(torch.tensor(-7.0))

    def encode(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in -1..1 to CLS tokens (b, 128), float32."""
        return self.dino(images).last_hidden_state[:, 0].float()

    def forward(self, images: Tensor) -> Tensor:
        """(n, 11, 3, 64, 64), the `PICTURES` of n subjects, to the logits (2, n, n, 11) of their being the subject of
        the row, as its picture and as its other view show it."""
        unit = F.normalize(self.encode(images.flatten(0, 1)), dim=-1).unflatten(0, images.shape[:2])
        cosines = torch.einsum("iad,jpd->aijp", unit[:, :ANCHORS], unit)
        return cosines * self.log_scale.exp() + self.bias


def subject_loss(logits: Tensor, class_ids: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over kinds of true comparisons of their means plus that over kinds of false ones.

    logits: (2, n, n, 11). class_ids: int (n,), of the subjects.
    """
    n, pictures = logits.shape[1], torch.arange(len(PICTURES), device=logits.device)
    own = torch.eye(n, dtype=torch.bool, device=logits.device)
    others = torch.where(class_ids[:, None] == class_ids, SAME_CLASS, OTHER_CLASS)
    kinds = torch.where(own[..., None], pictures, others[..., None]).expand(ANCHORS, -1, -1, -1)
    true, false = [], []
    for anchor in range(ANCHORS):
        for kind in range(OTHER_CLASS + 1):
            compared = logits[anchor][kinds[anchor] == kind]
            if kind == anchor or not len(compared):
                continue  # a picture and itself
            if kind < NOT_IT:
                true.append(F.softplus(-compared).mean())
            else:
                hopeless = kind == PICTURES.index(HOPELESS)
                false.append(F.softplus(compared).mean() * (HOPELESS_WEIGHT if hopeless else 1))
    return torch.stack(true).mean() + torch.stack(false).mean()


@torch.no_grad()
def evaluate_filter_dino(trainer: FilterDinoTrainer, data: PairData) -> dict[str, float]:
    """Share of the true pairs of each kind that pass where 90 % of the false ones of every kind are refused."""
    device = trainer.bias.device
    verdicts = dino_verdicts(lambda images: trainer.encode(to_tensor(np.stack(images)).to(device)).cpu(), data)
    passed = verdicts.passed(verdicts.refusing(0.9))
    return {kind.replace(", ", "_"): share for kind, share in passed.items()}


def train_filter_dino(work_dir: Path, weights_dir: Path, steps: int, device: torch.device) -> None:
    """Writes `weights_dir/filter_dino`, half precision."""
    data = load_pairs(work_dir)
    held_out = data.rows(data.num_train, len(data.rgb))
    dino = load_pretrained(Dinov2Model, weights_dir / "dino", local_files_only=True).float()
    trainer = FilterDinoTrainer(dino).to(device)
    classes = data.facts[: data.num_train, 0, 0]

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = data.draw(rng, CLASSES, SUBJECTS_PER_CLASS)
        pictures = data.rgb[ids].reshape(-1, *data.rgb.shape[2:])
        images = softened(to_tensor(pictures).to(device), rng).unflatten(0, (len(ids), len(PICTURES)))
        loss = subject_loss(trainer(images), torch.from_numpy(classes[ids].astype(int)).to(device))
        return loss, {"loss": loss.item(), "scale": trainer.log_scale.exp().item(), "bias": trainer.bias.item()}

    average = fit(
        "filter_dino",
        trainer.train(),
        loss_fn,
        steps=steps,
        peak_lr=4e-4,
        work_dir=work_dir,
        weight_decay=0.05,
        evaluate=lambda trained: evaluate_filter_dino(trained, held_out),
        evaluate_every=250,
    )
    average.dino.half().save_pretrained(weights_dir / "filter_dino")
