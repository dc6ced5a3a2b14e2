import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models import weights
from toffee_pipeline.models.scores import AestheticScorer, ClipScorer, DinoScorer
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.architectures import build_clip_config

PROMPTS = ["a red mug", "a very long story about a toy car on a beach", "a cat"]


def test_clip_scores_are_cosines_and_independent(
    config: RunConfig, device: torch.device, images: list[np.ndarray]
) -> None:
    scorer = ClipScorer(config.models.clip, device)
    scores = scorer.score(images, PROMPTS)
    assert all(-1 <= score <= 1 for score in scores) and len(set(scores)) == 3
    assert scorer.score(images[1:2], PROMPTS[1:2]) == pytest.approx(scores[1:2], abs=1e-5)
    assert scorer.score(images[::-1], PROMPTS[::-1])[1] == scores[1]


def test_the_gain_says_how_much_better_the_second_image_fits(
    config: RunConfig, device: torch.device, images: list[np.ndarray]
) -> None:
    scorer = ClipScorer(config.models.clip, device)
    before, after = scorer.score(images, PROMPTS), scorer.score(images[::-1], PROMPTS)
    gains = scorer.gain(images, images[::-1], PROMPTS)
    assert gains == pytest.approx([b - a for a, b in zip(before, after, strict=True)])
    assert gains[1] == 0 != gains[0]


def test_clip_reads_its_nano_folder(
    config: RunConfig,
    device: torch.device,
    images: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "filter_clip"
    folder.mkdir()
    vocab_size = open_clip.SimpleTokenizer().vocab_size
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": build_clip_config(vocab_size)}))
    save_file(untrained.build("clip").state_dict(), folder / "model.safetensors")
    shutil.copy(open_clip.tokenizer.default_bpe(), folder / "bpe.txt.gz")
    monkeypatch.setattr(weights, "NANO_WEIGHTS", tmp_path)
    scorer = ClipScorer(ClipSpec(weights="nano"), device)
    assert scorer.score(images, PROMPTS) == ClipScorer(config.models.clip, device).score(images, PROMPTS)


def test_dino_scores_are_cosines_and_independent(
    config: RunConfig, device: torch.device, images: list[np.ndarray]
) -> None:
    scorer = DinoScorer(config.models.filter_dino, device)
    scores = scorer.score(images, images[::-1])
    assert scores[1] == pytest.approx(1, abs=1e-5) and scores[0] == pytest.approx(scores[2], abs=1e-5)
    assert scores[0] < 1
    assert scorer.score(images[:1], images[2:])[0] == pytest.approx(scores[0], abs=1e-5)


def test_the_aesthetic_score_is_linear_in_normalised_clip_features(
    config: RunConfig, device: torch.device, images: list[np.ndarray], tmp_path: Path
) -> None:
    features = ClipScorer(config.models.clip, device).encode_images(images)
    save_file({"weight": features[:1].cpu().clone(), "bias": torch.tensor([5.0])}, tmp_path / "head.safetensors")
    scorer = AestheticScorer(config.models.clip, ModelSpec(path=tmp_path / "head.safetensors"), device)
    scores = scorer.score(images)
    assert scores[0] == pytest.approx(5.0 + features[0].norm().item(), rel=1e-4)  # the direction of the first image
    assert all(score < scores[0] for score in scores[1:])
    assert scorer.score(images[1:2]) == pytest.approx(scores[1:2], abs=1e-4)
