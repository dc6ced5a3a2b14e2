"""Trains the nano CLIP: open_clip's classes over the world's captions, with a byte-pair vocabulary of their words.

First both towers, then the image tower alone against the finished text: the text tower also conditions text to image,
which can so be trained while CLIP is still learning to see.
"""

from __future__ import annotations

import gzip
import json
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from open_clip.loss import ClipLoss
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.models.tiny.architectures import build_clip_config
from toffee_pipeline.models.tokenizers import CONTEXT_LENGTH
from toffee_pipeline.recipe.data import WorldData, load_images, to_tensor
from toffee_pipeline.recipe.loop import fit

BATCH = 128


def train_tokenizer(captions: list[str], path: Path) -> None:
    """Learns merges until every word of the captions is one token; the file is open_clip's format."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        captions, trainers.BpeTrainer(vocab_size=2000, end_of_word_suffix="</w>", show_progress=False)
    )
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def evaluate_clip(model: CLIP, tokenizer: SimpleTokenizer, data: WorldData) -> dict[str, float]:
    """Held-out: how often the caption of an image wins among 64, and how far apart true and wrong scores are."""
    images = to_tensor(data.rgb[data.num_train :, 0])[:192]
    texts = tokenizer([views[0] for views in data.captions[data.num_train :]][:192])
    image, text = model.encode_image(images, normalize=True), model.encode_text(texts, normalize=True)
    hits, wrong = [], []
    for start in range(0, 192, 64):
        scores = image[start : start + 64] @ text[start : start + 64].T
        hits.append((scores.argmax(1) == torch.arange(64)).float().mean())
        wrong.append(scores[~torch.eye(64, dtype=torch.bool)].mean())
    true = (image * text).sum(-1)
    return {
        "retrieval_64": torch.stack(hits).mean().item(),
        "true": true.mean().item(),
        "true_5th_percentile": true.quantile(0.05).item(),
        "wrong": torch.stack(wrong).mean().item(),
    }


def train_clip(work_dir: Path, weights_dir: Path, text_steps: int, image_steps: int) -> None:
    data = load_images(work_dir)
    folder = weights_dir / "clip"
    if not (folder / "bpe.txt.gz").exists():  # text to image knows the ids of these words
        train_tokenizer(list(chain.from_iterable(data.captions)), folder / "bpe.txt.gz")
    tokenizer = SimpleTokenizer(bpe_path=str(folder / "bpe.txt.gz"), context_length=CONTEXT_LENGTH)
    config = build_clip_config(tokenizer.vocab_size)
    model = CLIP(**config)
    tokens = tokenizer(list(chain.from_iterable(data.captions[: data.num_train])))
    images = data.rgb[: data.num_train, 0]
    loss_of = ClipLoss()

    def train(name: str, module: CLIP, steps: int, peak_lr: float) -> CLIP:
        def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
            ids = rng.choice(len(images), BATCH, replace=False)
            image_features, text_features, scale = module(to_tensor(images[ids]), tokens[torch.from_numpy(ids)])
            image_features, text_features = (F.normalize(x.float(), dim=-1) for x in (image_features, text_features))
            return loss_of(image_features, text_features, scale.clamp(max=50.0)), {"scale": scale.item()}

        return fit(
            name,
            module,
            loss_fn,
            steps=steps,
            peak_lr=peak_lr,
            work_dir=work_dir,
            weight_decay=0.05,
            evaluate=lambda trained: evaluate_clip(trained, tokenizer, data),
            evaluate_every=250,
        )

    average = train("clip", model, text_steps, 1.2e-3).requires_grad_(True)
    for module in (average.transformer, average.token_embedding, average.ln_final):
        module.requires_grad_(False)
    average.positional_embedding.requires_grad_(False)
    average.text_projection.requires_grad_(False)
    average = train("clip_image", average, image_steps, 1e-3)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}, indent=2) + "\n")
    save_file(
        {key: value.half().contiguous() for key, value in average.state_dict().items()}, folder / "model.safetensors"
    )
