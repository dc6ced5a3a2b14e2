"""Weights in local folders, in the layouts of the stock libraries, give what the same weights give in memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTModel

from toffee_pipeline.config.base import ModelSpec, SegmenterSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models import grounded_sam
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.scores import DinoScorer
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., RunConfig]


def same(first: list, second: list) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_sdxl_and_controlnet(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    pairs: list[Pair],
    images: list[np.ndarray],
) -> None:
    untrained.build("sdxl").save_pretrained(tmp_path / "sdxl")
    untrained.build("controlnet").save_pretrained(tmp_path / "controlnet")
    loaded = make_config({name: ModelSpec(path=tmp_path / name) for name in ("sdxl", "controlnet")})
    assert same(*(load_role("subject", each, device).create(subjects) for each in (config, loaded)))
    depths = [np.eye(64, dtype=np.float32)] * 3
    assert same(
        *(
            load_role("draft", each, device).draft(pairs, subjects, depths, images, [None] * len(pairs))
            for each in (config, loaded)
        )
    )


def test_view_generator(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    tokens: torch.Tensor,
) -> None:
    untrained.build("view_generator").save_pretrained(tmp_path / "unet")
    untrained.build("vae").save_pretrained(tmp_path / "vae")
    untrained.velocity_scheduler().save_pretrained(tmp_path / "scheduler")
    loaded = make_config({"view_generator": ModelSpec(path=tmp_path)})
    assert same(*(load_role("view", each, device).generate(tokens, subjects, [1, 2, 3]) for each in (config, loaded)))


def test_depth(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    images: list[np.ndarray],
) -> None:
    for part in untrained.build("depth"):
        part.save_pretrained(tmp_path)
    loaded = make_config({"depth": ModelSpec(path=tmp_path)})
    assert same(*(DepthEstimator(each.models.depth, device).estimate(images, subjects) for each in (config, loaded)))


def test_grounded_sam(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    images: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for part in untrained.build("detector"):
        part.save_pretrained(tmp_path)
    sam = untrained.build("segmenter")
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.zero_()
    monkeypatch.setitem(grounded_sam.sam_model_registry, "vit_b", lambda checkpoint: sam)
    weights = {
        "detector": ModelSpec(path=tmp_path),
        "segmenter": SegmenterSpec(path=tmp_path / "sam.pth", type="vit_b"),
    }
    loaded = make_config(weights)
    assert same(*(load_role("mask", each, device).segment(images, subjects) for each in (config, loaded)))


def test_filter_dino_is_a_vit_of_224_px(device: torch.device, tmp_path: Path, images: list[np.ndarray]) -> None:
    options = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=224, **options)).save_pretrained(tmp_path)
    scorer = DinoScorer(ModelSpec(path=tmp_path), device)
    assert scorer.score(images, images) == pytest.approx([1, 1, 1], abs=1e-5)
