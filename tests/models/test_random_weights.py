"""Published architectures with random weights: the same ones every time, in the dtype asked for, and they compute."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models import random_weights
from toffee_pipeline.models.roles import describe_roles, load_role, require_weights

RANDOM = ModelSpec(weights="random")
META = torch.device("meta")


def test_weights_are_seeded_and_have_their_dtype(device: torch.device) -> None:
    first, second = (random_weights.build("filter_dino", device, torch.bfloat16) for _ in range(2))
    assert not first.training and first.dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("network", ["sdxl", "controlnet", "refiner", "view_generator", "vae", "dino"])
def test_every_network_assembles_at_its_published_size(network: str) -> None:
    """Without memory, on the meta device; the depth network's draws its own schedule from numbers, which needs some."""
    built = random_weights.build(network, META, torch.float16)
    parts = list(built.components.values()) if network == "sdxl" else [built]
    networks = [part for part in parts if isinstance(part, torch.nn.Module)]
    dtypes = {parameter.dtype for each in networks for parameter in each.parameters()}
    assert dtypes == {torch.float16}


@pytest.mark.slow
def test_the_scorers_score_and_the_detector_finds_boxes(
    make_config: Callable[..., RunConfig], device: torch.device, images: list[np.ndarray]
) -> None:
    weights = {"filter_dino": RANDOM, "clip": ClipSpec(weights="random"), "detector": RANDOM}
    config = make_config(weights, {"segment": {"box_threshold": 0.0, "text_threshold": 0.0}})
    assert load_role("dino_scorer", config, device).score(images, images) == pytest.approx([1, 1, 1], abs=1e-4)
    scores = load_role("clip_scorer", config, device).score(images, ["a mug"] * 3)
    assert all(-1 <= score <= 1 for score in scores)
    strip = images[0][:5]  # fewer pixels than a square: the detector scales the longer side to 1333 px
    (box,) = load_role("mask", config, device).detect([strip], ["mug"])
    assert box is not None and box.shape == (4,)


def test_they_need_no_files_and_are_called_untrained(make_config: Callable[..., RunConfig]) -> None:
    config = make_config({"dino": RANDOM})
    require_weights(config)
    assert describe_roles(config)["dino"] == "untrained (random weights of the published architecture)"


def test_nothing_is_trained_from_them() -> None:
    with pytest.raises(ConfigError, match="models.base.weights=random: allowed are pretrained, nano and untrained"):
        load_config("nano", ("models.base.weights=random",), RefinerTraining)
