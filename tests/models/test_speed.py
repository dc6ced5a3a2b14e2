"""Levers of speed: that each acts, and that pictures stay as they are."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from actors.chain import STAGE_CLASSES
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import no_progress
from actors.stages.draft import Draft
from actors.stages.refine import Refine
from actors.stages.synthesize import Synthesize
from actors.stages.view import View
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow

Nano = Callable[..., RunConfig]


def is_channels_last(network: torch.nn.Module) -> bool:
    return network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def is_fused(network: torch.nn.Module) -> bool:
    return any(name.endswith("attn1.to_qkv") for name, _ in network.named_modules())


@contextmanager
def kernels_seen(network: torch.nn.Module) -> Iterator[set[tuple[bool, ...]]]:
    """Whether attention may be flash, efficient and math while the network runs."""
    cuda, seen = torch.backends.cuda, set()

    def look(*_: object) -> None:
        seen.add((cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()))

    hook = network.register_forward_pre_hook(look)
    yield seen
    hook.remove()


def test_layout_fused_projections_and_kernels_act_and_leave_the_pictures(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    subjects: list[Subject],
    pairs: list[Pair],
    images: list[np.ndarray],
    tokens: torch.Tensor,
) -> None:
    speed = {"channels_last": True, "fuse_qkv": True, "attention": "math"}
    stages = dict.fromkeys(("synthesize", "draft", "refine", "view"), {"speed": speed})
    plain, quick = ModelSet(make_config()), ModelSet(make_config(stages=stages))
    unets = [quick.subject.pipeline.unet, quick.draft.unet, quick.refiner.network.unet, quick.view.network.unet]
    assert all(map(is_channels_last, [*unets, quick.draft.controlnet])) and all(map(is_fused, unets))
    assert not is_channels_last(plain.draft.unet) and not is_fused(plain.draft.unet)
    depths = [image[..., 0].astype(np.float32) / 255 for image in images]

    def drawn(models: ModelSet) -> list[np.ndarray]:
        return [
            *models.subject.create(subjects),
            *models.draft.draft(pairs, [], depths, images, [None] * 3),
            *models.refiner.refine(images, tokens, [1, 2, 3]),
            *models.view.generate(tokens, subjects, [1, 2, 3]),
        ]

    with ExitStack() as hooks:
        seen = [hooks.enter_context(kernels_seen(unet)) for unet in unets]
        with_levers = drawn(quick)
    assert seen == [{(False, False, True)}] * len(unets)
    for own, expected in zip(with_levers, drawn(plain), strict=True):
        assert np.abs(own.astype(int) - expected).max() <= 2


@contextmanager
def graphs_of(network: torch.nn.Module) -> Iterator[list[int]]:
    """The graphs that its calls capture, one number for each call."""
    before, captured = [0], []
    hooks = [
        network.register_forward_pre_hook(lambda *_: before.__setitem__(0, counters["stats"]["unique_graphs"])),
        network.register_forward_hook(lambda *_: captured.append(counters["stats"]["unique_graphs"] - before[0])),
    ]
    yield captured
    for hook in hooks:
        hook.remove()


def test_a_whole_shard_is_at_most_two_graphs_of_a_network_and_all_are_made_when_it_is_loaded(nano: Nano) -> None:
    """With steps of both batches, ControlNet and none, edits that start in the midst, and a micro-batch of one pair
    padded to two. A break would be an error."""
    config = nano(
        *("pairs.count=5", "pairs.per_subject=5", "pairs.edit_fraction=0.5", "subjects_per_shard=1"),
        *(
            "stages.draft.speed.compile=eager",
            "stages.refine.speed.compile=eager",
            "stages.draft.speed.channels_last=true",
        ),
        *("stages.draft.control_guidance_end=0.5", "stages.draft.guidance_interval=[0.25, 0.75]"),
        *("stages.draft.sampling.num_inference_steps=4", "stages.refine.sampling.num_inference_steps=4"),
        *("renderer_plays=[subject,mask,depth,view]", "stages.refine.sampling.guidance_scale=3"),
    )
    shard = Shard.from_plan(Plan(config), 0)
    models = ModelSet(config)
    for name in ("synthesize", "segment", "depth"):
        STAGE_CLASSES[name](config, models, no_progress, NoGuard())(shard)
    draft, refine = (stage(config, models, no_progress, NoGuard()) for stage in (Draft, Refine))
    networks = models.draft.unet, models.draft.controlnet, models.refiner.network.unet
    for expected, work in (([2, 2, 1], lambda stage: stage.load()), ([0, 0, 0], lambda stage: stage(shard))):
        with graphs_of(networks[0]) as unet, graphs_of(networks[1]) as controlnet, graphs_of(networks[2]) as refiner:
            for stage in (draft, refine):
                work(stage)
        assert [sum(each) for each in (unet, controlnet, refiner)] == expected
    assert all(state.draft for state in shard.pairs) and shard.open_pairs()
    assert len(unet) > 2 and len(refiner) > 1


def test_subjects_and_views_are_compiled_when_they_are_loaded(
    make_config: Callable[..., RunConfig], subjects: list[Subject], tokens: torch.Tensor
) -> None:
    compiled = {"speed": {"compile": "eager"}, "batch_size": 3}
    config = make_config(stages=dict.fromkeys(("synthesize", "view"), compiled))
    models = ModelSet(config)
    for stage, draw in (
        (Synthesize, lambda: models.subject.create(subjects)),
        (View, lambda: models.view.generate(tokens, subjects, [1, 2, 3])),
    ):
        counters.clear()
        stage(config, models, no_progress, NoGuard()).load()
        assert counters["stats"]["unique_graphs"] == 1
        assert all(isinstance(image, np.ndarray) for image in draw())
        assert counters["stats"]["unique_graphs"] == 1
