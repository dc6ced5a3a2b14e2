"""A RunConfig of tiny untrained networks: real classes, nothing mocked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from toffee_pipeline.config.base import ModelSpec, SamplingConfig
from toffee_pipeline.config.dataset import SubjectsConfig
from toffee_pipeline.config.generate import ModelsConfig, RunConfig
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

CLASS_NAMES = ("mug", "toy car", "cat")


@pytest.fixture
def device() -> torch.device:
    return torch.device("cpu")


@pytest.fixture
def make_config() -> Callable[..., RunConfig]:
    def make(
        weights: dict[str, ModelSpec] | None = None, stages: dict[str, dict[str, Any]] | None = None, **changes: Any
    ) -> RunConfig:
        steps = {"synthesize": 2, "draft": 4, "refine": 4, "view": 2}  # strengths start in their midst
        roles = [name for name, field in ModelsConfig.model_fields.items() if field.is_required()]
        models = dict.fromkeys(roles, {"weights": "untrained"}) | (weights or {})
        blocks = {
            stage: {"sampling": SamplingConfig(scheduler="ddim", num_inference_steps=num, guidance_scale=2.0)}
            for stage, num in steps.items()
        }
        for stage, block in (stages or {}).items():
            blocks[stage] = blocks.get(stage, {}) | block
        return RunConfig(size_px=64, models=ModelsConfig(**models), device="cpu", stages=blocks, **changes)

    return make


@pytest.fixture
def config(make_config: Callable[..., RunConfig]) -> RunConfig:
    return make_config()


@pytest.fixture
def renderer_config(make_config: Callable[..., RunConfig]) -> RunConfig:
    roles = ("subject", "mask", "depth", "draft", "view")
    return make_config(subjects=SubjectsConfig(source="renderer", catalog="nano"), renderer_plays=roles)


@pytest.fixture
def subjects() -> list[Subject]:
    return [Subject(f"s{i}", name, f"a photo of a {name}", 100 + i) for i, name in enumerate(CLASS_NAMES)]


@pytest.fixture
def pairs(subjects: list[Subject]) -> list[Pair]:
    return [
        Pair(f"p{i}", s.subject_id, "generation", "background", "on a beach", prompt, f"{prompt} at night", 200 + i)
        for i, s in enumerate(subjects)
        for prompt in [f"a {s.class_name} on a beach"]
    ]


@pytest.fixture
def images() -> list[np.ndarray]:
    """Three smooth random images, uint8 (64, 64, 3)."""
    coarse = torch.rand((3, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")
    return list((smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())


@pytest.fixture
def tokens() -> torch.Tensor:
    """DINO tokens of three samples."""
    return torch.randn((3, 257, 128), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def assert_independent() -> Callable[[Callable[[list[int]], list[np.ndarray]]], None]:
    """Holds `run(samples) -> images`, for samples among 0, 1, 2, to it that neighbours do not change a sample."""

    def check(run: Callable[[list[int]], list[np.ndarray]]) -> None:
        together, swapped, alone = run([0, 1, 2]), run([2, 1, 0]), run([1])
        assert all(image.dtype == np.uint8 and image.shape == (64, 64, 3) for image in together)
        assert np.array_equal(together[1], swapped[1])
        assert np.abs(alone[0].astype(int) - together[1]).max() <= 1
        assert np.abs(together[0].astype(int) - together[2]).max() > 10

    return check
