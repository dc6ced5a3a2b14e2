"""Caches in UNets: that work is left out, that pictures change, and that no run knows of another one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.speed import SpeedConfig
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow

STEPS, FULL = 8, 4  # steps 0, 1, 3 and 6
MakeConfig = Callable[..., RunConfig]


def with_cache(make_config: MakeConfig, cache: str | None, **draft: Any) -> ModelSet:
    """Models whose runs compute the first two steps and every third one in full. draft: settings of drafts."""
    config = make_config()
    for name in ("synthesize", "draft", "refine", "view"):
        speed = SpeedConfig(cache=cache, cache_interval=3, cache_after_steps=2)
        sampling = config.stage(name).sampling.model_copy(update={"num_inference_steps": STEPS})
        config = config.with_stage(name, speed=speed, sampling=sampling)
    return ModelSet(config.with_stage("draft", **draft).with_stage("refine", strength=1.0))


@contextmanager
def computed(unet: torch.nn.Module) -> Iterator[list[int]]:
    """The batch of each call that computes the middle transformer's attention."""
    batches: list[int] = []
    hook = (
        unet.mid_block.attentions[0]
        .transformer_blocks[0]
        .attn1.to_q.register_forward_hook(lambda module, given, output: batches.append(len(output)))
    )
    yield batches
    hook.remove()


@pytest.mark.parametrize("cache", ["taylorseer", "pab"])
def test_a_cache_leaves_work_out_changes_pictures_and_remembers_no_other_run(
    make_config: MakeConfig,
    subjects: list[Subject],
    pairs: list[Pair],
    images: list[np.ndarray],
    tokens: torch.Tensor,
    cache: str,
) -> None:
    depths = [images[0][..., 0].astype(np.float32) / 255]

    def draws(models: ModelSet) -> list[tuple[torch.nn.Module, Callable[[], list[np.ndarray]]]]:
        return [
            (models.subject.pipeline.unet, lambda: models.subject.create(subjects[:1])),
            (models.draft.unet, lambda: models.draft.draft(pairs[:1], [], depths, images[:1], [None])),
            (models.refiner.network.unet, lambda: models.refiner.refine(images[:1], tokens[:1], [1])),
            (models.view.network.unet, lambda: models.view.generate(tokens[:1], subjects[:1], [1])),
        ]

    plain, cached = with_cache(make_config, None), with_cache(make_config, cache)
    for (plain_unet, draw_plain), (unet, draw) in zip(draws(plain), draws(cached), strict=True):
        with computed(plain_unet) as all_steps, computed(unet) as some:
            expected, first, second = draw_plain(), draw(), draw()
        assert (len(all_steps), len(some)) == (STEPS, 2 * FULL)
        assert any(np.any(own != other) for own, other in zip(first, expected, strict=True))
        assert all(np.array_equal(own, other) for own, other in zip(first, second, strict=True))


@pytest.mark.parametrize("cache", ["taylorseer", "pab"])
def test_a_cache_begins_anew_where_guidance_begins_and_ends(
    make_config: MakeConfig, pairs: list[Pair], images: list[np.ndarray], cache: str
) -> None:
    models = with_cache(make_config, cache, guidance_interval=(0.375, 1.0))
    depths = [image[..., 0].astype(np.float32) / 255 for image in images]
    with computed(models.draft.unet) as batches:
        drawn = models.draft.draft(pairs, [], depths, images, [None] * 3)
    assert batches[:2] == [3, 3] and set(batches[2:]) == {6}
    assert len(batches) < STEPS and all(isinstance(image, np.ndarray) for image in drawn)


def test_a_cache_that_does_nothing_to_a_unet_is_refused_and_so_is_one_under_the_compiler() -> None:
    with pytest.raises(ConfigError, match=r"stages.draft.speed.cache.*firstblock.*'taylorseer'.*'pab'"):
        load_config("nano", ("stages.draft.speed.cache=firstblock",))
    with pytest.raises(ConfigError, match="stages.draft.speed: .*cache=pab cannot be compiled"):
        load_config("nano", ("stages.draft.speed.cache=pab", "stages.draft.speed.compile=eager"))


@pytest.mark.parametrize("cache", ["taylorseer", "pab"])
def test_two_runs_in_turns_take_nothing_from_each_other(
    make_config: MakeConfig, pairs: list[Pair], subjects: list[Subject], images: list[np.ndarray], cache: str
) -> None:
    """An edit by the difference of two prompts computes every step in full."""
    edited = [replace(pair, kind="edit", category="color") for pair in pairs]
    depths, masks = [image[..., 0].astype(np.float32) / 255 for image in images], [np.ones((64, 64), bool)] * 3
    settings = {"edit_strength": {"color": 0.75}, "edit_source_guidance_scale": {"color": 1.5}}
    expected, drawn = (
        with_cache(make_config, name, **settings).draft.draft(edited, subjects, depths, images, masks)
        for name in (None, cache)
    )
    assert all(np.array_equal(own, other) for own, other in zip(drawn, expected, strict=True))
