"""Trains the filter's CLIP: whether a picture shows what a prompt says, at one threshold for all prompts.

Its text tower starts as the nano CLIP's, which goes on conditioning text to image. The renderer knows what holds of
each picture, so every prompt of a batch has an answer for every picture of it: a binary cross-entropy over all cosines,
whose scale and bias are learned (SigLIP's loss, with more than one true prompt for a picture).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from toffee_pipeline.models.clip import load_nano_clip
from toffee_pipeline.models.tiny.architectures import TEXT_DIM, build_filter_clip_config
from toffee_pipeline.nano import world
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.recipe.data import shifted, to_tensor
from toffee_pipeline.recipe.loop import fit
from toffee_pipeline.recipe.pairs import FACTS, NOT_IT, PICTURES, PairData, load_pairs, softened
from toffee_pipeline.recipe.prompts import KINDS, Prompt, caption, pair_prompts
from toffee_pipeline.recipe.verdicts import clip_verdicts

CLASSES, SUBJECTS_PER_CLASS = 4, 2
"""Of a batch."""
NUM_SEEN = {name: num + (name == "addition") for name, num in FACTS.items()}
NUM_READ = {name: num + 1 for name, num in (*FACTS.items(), ("missing", len(world.ADDITIONS)))}
"""Values of each fact in a picture and in a prompt, of which the last is none; both towers are asked for them too."""
SHIFT_PX = 3
BATCH_NORM_MOMENTUM = 0.01
"""A tenth of torch's: a batch of four classes says little of all."""
EVALUATED = 50
"""Held-out subjects to look at on the way."""
WEIGHTS = (1.0, 0.5, 0.5)
"""Of pictures of the prompt's own subject, of others of its class, and of other classes."""


class FilterClipTrainer(nn.Module):
    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.clip = clip
        self.clip.logit_scale.requires_grad_(False)  # the scale below takes its place
        self.seen = nn.Linear(TEXT_DIM, sum(NUM_SEEN.values()))
        self.read = nn.Linear(TEXT_DIM, sum(NUM_READ.values()))
        self.log_scale = nn.Parameter(torch.tensor(2.5))
        self.bias = nn.Parameter(torch.tensor(-7.0))

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, 3, 64, 64) in -1..1 and ids (p, 24) to logits (p, b) of a prompt's holding for a picture, and the logits
        of what is seen in each picture and read in each prompt."""
        image, text = self.clip.encode_image(images).float(), self.clip.encode_text(tokens).float()
        cosines = F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
        return cosines * self.log_scale.exp() + self.bias, self.seen(image), self.read(text)

    def score(self, tokenizer: SimpleTokenizer, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[float]:
        """Cosine of each uint8 (64, 64, 3) and its prompt."""
        device = self.bias.device
        image = self.clip.encode_image(to_tensor(np.stack(images)).to(device))
        return F.cosine_similarity(image, self.clip.encode_text(tokenizer(list(prompts)).to(device)), dim=-1).tolist()


def drawn_pictures(rng: np.random.Generator) -> np.ndarray:
    """Indices into `PICTURES`: the subject, every change of it, and one of the others."""
    others = [1, *range(NOT_IT, len(PICTURES))]
    return np.array([0, *range(2, NOT_IT), rng.choice(others)])


def prompt_loss(logits: Tensor, holds: Tensor, kinds: Tensor, distances: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over kinds of its means, for each answer and distance.

    logits, holds: (p, b). kinds: int (p, 1), of the prompts. distances: int (p, b), index into `WEIGHTS`.
    """
    losses = F.softplus(torch.where(holds, -logits, logits))
    shape = (2, len(WEIGHTS), len(KINDS))
    cells = (holds.long() * shape[1] + distances) * shape[2] + kinds
    sums = losses.new_zeros(shape).flatten().index_add(0, cells.flatten(), losses.flatten()).view(shape)
    counts = cells.flatten().bincount(minlength=sums.numel()).view(shape)
    filled = (counts > 0).sum(2).clamp(min=1)
    means = (sums / counts.clamp(min=1)).sum(2) / filled
    return (means * losses.new_tensor(WEIGHTS)).sum()


def facts_loss(logits: Tensor, num_values: dict[str, int], values: np.ndarray) -> Tensor:
    """Mean cross-entropy. logits: (b, c), the values of one fact after the other. values: int (b, facts), or -1."""
    parts = logits.split(list(num_values.values()), 1)
    truth = torch.from_numpy(np.where(values < 0, list(num_values.values()) + values, values)).long()
    truth = truth.to(logits.device)
    return torch.stack([F.cross_entropy(part, truth[:, column]) for column, part in enumerate(parts)]).mean()


def varied(images: Tensor, rng: np.random.Generator) -> Tensor:
    """(b, 3, 64, 64), softened, half of it mirrored and all of it moved by some pixels: no prompt says where."""
    mirrored = torch.from_numpy(rng.random(len(images)) < 0.5).to(images.device)[:, None, None, None]
    images = torch.where(mirrored, images.flip(-1), softened(images, rng))
    return shifted(images, SHIFT_PX, rng)


def evaluate_filter_clip(trainer: FilterClipTrainer, tokenizer: SimpleTokenizer, data: PairData) -> dict[str, float]:
    """Share of the false targets of each kind that are refused where 85 % of the true ones of every kind are kept."""
    verdicts = clip_verdicts(partial(trainer.score, tokenizer), data)
    refused = verdicts.refused(verdicts.keeping(0.85))
    return {kind.replace(" ", "_"): share for kind, share in refused.items()}


def train_filter_clip(work_dir: Path, weights_dir: Path, steps: int, device: torch.device) -> None:
    data, catalog = load_pairs(work_dir), load_catalog("nano")
    held_out = data.rows(data.num_train, data.num_train + EVALUATED)
    told, _, tokenizer = load_nano_clip(weights_dir / "clip")
    config = build_filter_clip_config(told.vocab_size)
    clip = CLIP(**config)
    text = {key: value for key, value in told.state_dict().items() if not key.startswith("visual.")}
    clip.load_state_dict(text, strict=False)
    for module in clip.visual.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM
    trainer = FilterClipTrainer(clip).to(device)
    classes = data.facts[: data.num_train, 0, 0]

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = data.draw(rng, CLASSES, SUBJECTS_PER_CLASS)
        shown = np.stack([drawn_pictures(rng) for _ in ids])
        facts = data.facts[ids]
        prompts: list[Prompt] = []
        of = []
        for row, own in enumerate(facts):
            told = [prompt for pair in pair_prompts(own, catalog, rng) for prompt in pair if prompt is not None]
            told += [caption(own[picture], rng) for picture in (0, rng.integers(1, len(PICTURES)))]
            prompts += told
            of += [row] * len(told)
        images = varied(to_tensor(data.rgb[ids[:, None], shown].reshape(-1, *data.rgb.shape[2:])).to(device), rng)
        logits, seen, read = trainer(images, tokenizer([prompt.words for prompt in prompts]).to(device))
        facts = facts[np.arange(len(ids))[:, None], shown].reshape(-1, facts.shape[-1])
        holds = np.stack([prompt.holds(facts) for prompt in prompts])
        subject, asked = np.repeat(np.arange(len(ids)), shown.shape[1]), np.array(of)[:, None]
        same_class = classes[ids][asked] == classes[ids][subject]
        distances = np.where(asked == subject, 0, np.where(same_class, 1, 2))
        kinds = np.array([[KINDS.index(prompt.kind)] for prompt in prompts])
        match = prompt_loss(logits, *(torch.from_numpy(each).to(device) for each in (holds, kinds, distances)))
        said = np.array([[*(prompt.says.get(name, -1) for name in FACTS), prompt.missing] for prompt in prompts])
        in_image, in_text = facts_loss(seen, NUM_SEEN, facts), facts_loss(read, NUM_READ, said)
        return match + in_image + in_text, {
            "match": match.item(),
            "seen": in_image.item(),
            "read": in_text.item(),
            "scale": trainer.log_scale.exp().item(),
            "bias": trainer.bias.item(),
        }

    average = fit(
        "filter_clip",
        trainer,
        loss_fn,
        steps=steps,
        peak_lr=1e-3,
        work_dir=work_dir,
        weight_decay=0.05,
        warmup_steps=50,
        evaluate=lambda trained: evaluate_filter_clip(trained, tokenizer, held_out),
        evaluate_every=500,
    )
    folder = weights_dir / "filter_clip"
    folder.mkdir(exist_ok=True)
    shutil.copy(weights_dir / "clip" / "bpe.txt.gz", folder)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}, indent=2) + "\n")
    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in average.clip.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
