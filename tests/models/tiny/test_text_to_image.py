"""The trained nano text to image draws what its prompt says; a depth map moves the subject to where it is."""

import numpy as np
import pytest
import torch

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.scores import ClipScorer
from toffee_pipeline.nano import world
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_config("nano")


def draw(config: RunConfig, prompts: list[str]) -> list[np.ndarray]:
    return load_role("subject", config, CPU).create(
        [Subject(str(i), "", prompt, i) for i, prompt in enumerate(prompts)]
    )


def test_places_have_their_colours(config: RunConfig) -> None:
    prompts = [f"a photo of a white vase {place}" for place in ("under a night sky", "in the snow", "on the grass")]
    images = draw(config, prompts)
    night, snow, grass = (image[:8].astype(float).mean((0, 1)) for image in images)
    assert night.sum() + 150 < snow.sum()
    ground = images[2][-6:].astype(float).mean((0, 1))
    assert ground[1] > ground[0] + 20 and ground[1] > ground[2] + 20  # green
    assert grass[2] > 120  # sky


def test_clip_finds_the_class_that_the_prompt_named(config: RunConfig) -> None:
    names = ["mug", "boat", "rocket", "house", "teddy bear", "toy duck", "mushroom", "chair"]
    images = draw(config, [f"a photo of a {name} on a white table" for name in names])
    clip = ClipScorer(config.models.clip, CPU)
    scores = np.array(
        [clip.score([image] * len(names), [f"a photo of a {name}" for name in names]) for image in images]
    )
    assert (scores.argmax(1) == np.arange(len(names))).mean() >= 0.6  # chance is 1 in 8


def test_a_draft_keeps_the_layout_that_it_is_given(config: RunConfig) -> None:
    subject = world.make_toy("boat", 5)
    picture = world.render(subject, world.View(0.4, 0.2), "on a white table")
    prompt = "a photo of a boat in the desert"
    pairs = [Pair(str(i), "", "generation", "background", "", prompt, prompt, i) for i in range(2)]
    drafts = load_role("draft", config, CPU).draft(
        pairs, [], [picture.inverse_depth] * 2, [picture.rgb] * 2, [None] * 2
    )
    mask = picture.mask
    for draft in drafts:  # unlike the sand around it
        ring = draft.astype(float)
        inside, outside = ring[mask].mean(0), np.median(ring[-10:].reshape(-1, 3), 0)
        assert np.abs(inside - outside).sum() > 30


def test_an_edit_is_drafted_into_its_picture():
    """Snow around a boat, and nothing else of the photo changes but for what the VAE loses."""
    config = load_config("nano", ("stages.draft.sampling.num_inference_steps=8",))
    toy, view = world.make_toy("boat", 3), world.View(0.4, 0.2)
    picture, wanted = (world.render(toy, view, place, "photo", 64, 0) for place in ("in the desert", "in the snow"))
    prompt = "a photo of a boat in the snow"
    pair = Pair("", "", "edit", "background", "in the snow", prompt, prompt, 0)
    around = ~picture.mask
    around[:, :8] = False
    draft = load_role("draft", config, CPU).draft([pair], [], [picture.inverse_depth], [picture.rgb], [around])[0]
    left = np.zeros_like(around)
    left[:, :4] = True
    assert np.abs(draft.astype(int) - picture.rgb)[left].mean() < 12
    assert (np.abs(draft.astype(int) - wanted.rgb) < np.abs(draft.astype(int) - picture.rgb))[around].mean() > 0.7
