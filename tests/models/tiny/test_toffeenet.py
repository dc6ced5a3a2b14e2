"""The ToffeeNet in the package draws the toy of a photo where the prompt says."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import black_out
from toffee_pipeline.models.scores import ClipScorer, DinoScorer
from toffee_pipeline.models.trained_toffeenet import TrainedToffeeNet
from toffee_pipeline.nano import world
from toffee_pipeline.recipe.measure import drawn
from toffee_pipeline.rundir.trained import NANO, find_toffeenet

pytestmark = pytest.mark.slow

FIRST_UNSEEN = 40_000_000
CLASSES = ("mug", "toy car", "lamp", "toy duck", "cake", "robot")
PLACES = ("in the snow", "under a night sky")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toffeenet() -> TrainedToffeeNet:
    trained = find_toffeenet(NANO)
    return TrainedToffeeNet(trained.weights, trained.config, CPU)


def rendered(azimuth: float, place: str) -> list[world.Rendering]:
    toys = (world.make_toy(name, FIRST_UNSEEN + number) for number, name in enumerate(CLASSES))
    return [world.render(toy, world.View(azimuth, 0.15), place, "photo", size_px=64, seed=5) for toy in toys]


@pytest.fixture(scope="module")
def pictures(toffeenet: TrainedToffeeNet) -> dict[str, list[np.ndarray]]:
    """By place: a picture of each toy, of which it has seen one photo."""
    tokens = toffeenet.tokens([photo.rgb for photo in rendered(0.5, "on a beach")], CLASSES)
    sampler = toffeenet.sampler(SamplingConfig(scheduler="ddim", num_inference_steps=12, guidance_scale=3.0), 1.0)
    return {
        place: drawn(
            sampler.generate(tokens, [f"a photo of a {name} {place}" for name in CLASSES], range(len(CLASSES)))
        )
        for place in PLACES
    }


def test_a_picture_shows_its_toy_more_than_others(
    toffeenet: TrainedToffeeNet, pictures: dict[str, list[np.ndarray]]
) -> None:
    encode = DinoScorer(load_config(NANO).models.filter_dino, CPU).encode
    others = F.normalize(
        encode([black_out(each.rgb, ~each.mask) for each in rendered(-0.4, "on a white table")]), dim=1
    )
    for images in pictures.values():
        masks = [toffeenet.find(image, name) for image, name in zip(images, CLASSES, strict=True)]
        found = [black_out(image, ~mask) for image, mask in zip(images, masks, strict=True) if mask is not None]
        assert len(found) == len(CLASSES)
        similarity = (F.normalize(encode(found), dim=1) @ others.T).numpy()
        assert (similarity.argmax(1) == np.arange(len(CLASSES))).mean() >= 0.8
        assert similarity.diagonal().mean() >= 0.6


def test_a_picture_shows_the_place_of_its_prompt(pictures: dict[str, list[np.ndarray]]) -> None:
    clip = ClipScorer(load_config(NANO).models.clip, CPU)
    for place, images in pictures.items():
        scores = [clip.score(images, [f"a photo of a {name} {each}" for name in CLASSES]) for each in PLACES]
        assert [PLACES[row] for row in np.argmax(scores, axis=0)] == [place] * len(CLASSES)


def test_what_is_behind_the_toy_is_not_shown_to_it(toffeenet: TrainedToffeeNet) -> None:
    beach, snow = ([photo.rgb for photo in rendered(0.5, place)] for place in ("on a beach", "in the snow"))
    shown = (toffeenet.tokens(beach, CLASSES) - toffeenet.tokens(snow, CLASSES)).abs().mean()
    assert shown < 0.5 * (toffeenet.dino.encode(beach) - toffeenet.dino.encode(snow)).abs().mean()
