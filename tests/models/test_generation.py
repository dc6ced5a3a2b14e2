"""Subject synthesis, folder, depth, draft and view: what they give, and that samples are independent."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLControlNetPipeline
from PIL import Image

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.draft import ControlNetDraft
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.sampling import generators, make_scheduler
from toffee_pipeline.models.subject import FolderSubject
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "euler", "lcm"])
def test_synthesised_subjects_are_independent(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    subjects: list[Subject],
    assert_independent: Callable,
    scheduler: str,
) -> None:
    sampling = SamplingConfig(scheduler=scheduler, num_inference_steps=4)
    model = load_role("subject", make_config(stages={"synthesize": {"sampling": sampling}}), device)
    assert_independent(lambda rows: model.create([subjects[i] for i in rows]))


def drafts_of(
    model: ControlNetDraft, pairs: list[Pair], images: list[np.ndarray], masks: list[np.ndarray | None] | None = None
) -> list[np.ndarray | SampleError]:
    """On layouts of their own."""
    depths = [image[..., 0].astype(np.float32) / 255 for image in images]
    subjects = [Subject("", "mug", "a photo of a red mug", 0)] * len(pairs)
    return model.draft(pairs, subjects, depths, images, masks or [None] * len(pairs))


def test_drafts_are_independent_and_follow_the_depth(
    config: RunConfig,
    device: torch.device,
    pairs: list[Pair],
    images: list[np.ndarray],
    assert_independent: Callable,
) -> None:
    model = load_role("draft", config, device)
    assert_independent(lambda rows: drafts_of(model, *([values[i] for i in rows] for values in (pairs, images))))
    first, other = (drafts_of(model, pairs[:1], [image])[0] for image in (images[0], 255 - images[0]))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("scheduler", "control_guidance_end"), [("ddim", 1.0), ("dpm++", 1.0), ("euler", 0.5), ("lcm", 1.0)]
)
def test_a_whole_draft_is_what_the_stock_pipeline_draws(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    pairs: list[Pair],
    images: list[np.ndarray],
    scheduler: str,
    control_guidance_end: float,
) -> None:
    sampling = SamplingConfig(scheduler=scheduler, num_inference_steps=4, guidance_scale=3.0)
    settings = {"sampling": sampling, "control_guidance_end": control_guidance_end}
    model = load_role("draft", make_config(stages={"draft": settings}), device)
    stock = StableDiffusionXLControlNetPipeline(
        **model.pipeline.components, controlnet=model.controlnet, add_watermarker=False
    )
    stock.scheduler = make_scheduler(sampling, model.scheduler_config)
    layouts = torch.from_numpy(np.stack([image[..., 0].astype(np.float32) / 255 for image in images]))
    latents = stock(
        prompt=[pair.draft_prompt for pair in pairs],
        image=layouts[:, None].expand(-1, 3, -1, -1),
        height=64,
        width=64,
        num_inference_steps=4,
        guidance_scale=3.0,
        controlnet_conditioning_scale=model.settings.controlnet_conditioning_scale,
        control_guidance_end=control_guidance_end,
        generator=generators([pair.seed for pair in pairs]),
        output_type="latent",
    ).images
    for drawn, expected in zip(
        drafts_of(model, pairs, images), to_images(model.autoencoder.decode(latents)), strict=True
    ):
        assert np.abs(drawn.astype(int) - expected).max() <= 1


def batch_sizes(network: torch.nn.Module, draw: Callable[[], object]) -> list[int]:
    """Of the network's calls while something is drawn."""
    sizes: list[int] = []
    hook = network.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    draw()
    hook.remove()
    return sizes


def test_the_controlnet_and_guidance_run_in_their_own_steps_alone(
    config: RunConfig, device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    windows = config.with_stage("draft", control_guidance_end=0.5, guidance_interval=(0.25, 0.75))
    model = load_role("draft", windows, device)
    draw = partial(drafts_of, model, pairs, images)
    assert batch_sizes(model.unet, draw) == [3, 6, 6, 3] and batch_sizes(model.controlnet, draw) == [3, 6]
    everywhere, edited = [np.ones((64, 64), bool)], [replace(pairs[0], kind="edit", category="color")]
    half = model.with_settings(windows.stages.draft.model_copy(update={"edit_strength": {"color": 0.5}}))
    draw = partial(drafts_of, half, edited, images[:1], everywhere)
    assert batch_sizes(model.unet, draw) == [2, 2] and batch_sizes(model.controlnet, draw) == [2]
    moved = half.with_settings(half.settings.model_copy(update={"edit_source_guidance_scale": {"color": 1.5}}))
    assert batch_sizes(moved.unet, partial(drafts_of, moved, edited, images[:1], everywhere)) == [2, 2, 2, 2]
    never = model.with_settings(windows.stages.draft.model_copy(update={"control_guidance_end": 0.0}))
    assert batch_sizes(model.controlnet, partial(drafts_of, never, pairs, images)) == []


def test_an_empty_interval_of_guidance_is_no_guidance(
    config: RunConfig, device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    model = load_role("draft", config, device)
    settings = config.stages.draft
    never = settings.model_copy(update={"guidance_interval": (0.5, 0.5)})
    unguided = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"guidance_scale": 1.0})})
    first, second, guided = (
        drafts_of(model.with_settings(each), pairs, images) for each in (never, unguided, settings)
    )
    assert np.array_equal(first, second) and not np.array_equal(first, guided)


def test_a_prompt_is_encoded_once(
    config: RunConfig, device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    model = load_role("draft", config, device)
    draw = partial(drafts_of, model, [pairs[0], pairs[1], pairs[0]], images)
    assert batch_sizes(model.pipeline.text_encoder, draw) == [1, 1]
    assert batch_sizes(model.pipeline.text_encoder_2, draw) == []


def test_whole_pictures_beside_an_edit_do_not_change(
    config: RunConfig, device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    model, mask = load_role("draft", config, device), np.zeros((64, 64), bool)
    mask[16:40, 16:40] = True
    beside = drafts_of(model, [pairs[0], replace(pairs[1], kind="edit")], images[:2], [None, mask])[0]
    assert np.array_equal(beside, drafts_of(model, [pairs[0]] * 2, [images[0]] * 2)[0])


def test_a_weaker_edit_stays_nearer_to_the_picture(
    make_config: Callable[..., RunConfig], device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    everywhere, edited = [np.ones((64, 64), bool)], [replace(pairs[0], kind="edit", category="color")]
    changes = []
    for strength in (0.25, 0.75, 1.0):
        model = load_role("draft", make_config(stages={"draft": {"edit_strength": {"color": strength}}}), device)
        kept = to_images(model.autoencoder.decode(model.autoencoder.encode(images[:1])))[0]
        changes.append(np.abs(drafts_of(model, edited, images[:1], everywhere)[0].astype(int) - kept).mean())
    assert changes == sorted(changes)


def test_drafts_of_two_strengths_do_not_mix(
    make_config: Callable[..., RunConfig], device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    model = load_role("draft", make_config(stages={"draft": {"edit_strength": {"color": 0.5}}}), device)
    edited = [replace(pairs[0], kind="edit", category=category) for category in ("color", "texture")]
    with pytest.raises(ValueError, match="drafts that start at .* in one batch"):
        drafts_of(model, edited, images[:2], [np.ones((64, 64), bool)] * 2)


def test_the_controlnets_scale_is_the_categorys(
    make_config: Callable[..., RunConfig], device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    """At 0 the depth says nothing: two layouts give one draft."""
    stages = {"draft": {"edit_controlnet_conditioning_scale": {"addition": 0.0}}}
    model = load_role("draft", make_config(stages=stages), device)
    mask = [np.ones((64, 64), bool)] * 2
    same = [images[0]] * 2
    depths = [image[..., 0].astype(np.float32) / 255 for image in images[:2]]
    for category, equal in (("addition", True), ("color", False)):
        edited = [replace(pairs[0], kind="edit", category=category)] * 2
        first, second = model.draft(edited, [], depths, same, mask)
        assert np.array_equal(first, second) is equal


def test_drafts_under_other_settings_are_those_of_a_freshly_loaded_model(
    config: RunConfig, device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    loose = config.with_stage("draft", controlnet_conditioning_scale=0.0)
    model = load_role("draft", config, device)
    own, other, fresh, again = (
        drafts_of(each, pairs, images)
        for each in (model, model.with_settings(loose.stages.draft), load_role("draft", loose, device), model)
    )
    assert np.array_equal(other, fresh) and np.array_equal(own, again) and not np.array_equal(own, other)


def test_a_prompt_too_long_for_the_text_encoder_fails_alone(
    config: RunConfig, device: torch.device, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    model = load_role("draft", config, device)
    fits = drafts_of(model, pairs, images)
    long = replace(pairs[1], draft_prompt="a " + "very " * 80 + "old mug on a beach")
    first, error, last = drafts_of(model, [pairs[0], long, pairs[2]], images)
    assert isinstance(error, SampleError) and error.reason is None
    assert str(error).startswith("a prompt of 88 tokens, but the text encoder takes 77: 'a very very")
    assert np.array_equal(first, fits[0]) and np.array_equal(last, fits[2])


def test_views_are_independent_and_another_seed_is_another_view(
    config: RunConfig,
    device: torch.device,
    subjects: list[Subject],
    tokens: torch.Tensor,
    assert_independent: Callable,
) -> None:
    model = load_role("view", config, device)
    assert_independent(lambda rows: model.generate(tokens[rows], subjects, [5 + i for i in rows]))
    first, second = (model.generate(tokens[:1], subjects[:1], [seed])[0] for seed in (1, 2))
    assert not np.array_equal(first, second)


def test_views_come_in_the_size_of_the_run(
    make_config: Callable[..., RunConfig], device: torch.device, subjects: list[Subject], tokens: torch.Tensor
) -> None:
    model = load_role("view", make_config().model_copy(update={"size_px": 128}), device)
    assert model.generate(tokens[:1], subjects[:1], [1])[0].shape == (128, 128, 3)


def test_depth_is_stretched_and_independent(
    config: RunConfig, device: torch.device, subjects: list[Subject], images: list[np.ndarray]
) -> None:
    model = DepthEstimator(config.models.depth, device)
    together = model.estimate(images, subjects)
    for depth in together:
        assert depth.shape == (64, 64) and depth.dtype == np.float32
        assert (depth.min(), depth.max()) == (0, 1)
    swapped = model.estimate(images[::-1], subjects[::-1])
    assert np.array_equal(together[1], swapped[1])
    assert np.abs(model.estimate(images[1:2], subjects[1:2])[0] - together[1]).max() < 1e-4


def test_folder_reads_squares_and_reports_what_it_cannot_read(tmp_path: Path) -> None:
    photo = Image.new("RGB", (100, 80), (10, 200, 30))
    photo.save(tmp_path / "blank.png")
    photo.paste((200, 10, 30), (50, 0, 100, 80))
    photo.save(tmp_path / "fine.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    model = FolderSubject(tmp_path, 64)
    paths = ("fine.png", "broken.jpg", "missing.png", "blank.png", None)
    fine, *errors = model.create([Subject(f"s{i}", "mug", "a mug", i, path) for i, path in enumerate(paths)])
    assert isinstance(fine, np.ndarray) and fine.shape == (64, 64, 3) and (fine[:, 0] == (10, 200, 30)).all()
    assert all(isinstance(error, SampleError) for error in errors)
    assert [error.reason for error in errors] == ["unreadable"] * 3 + [None]
    assert "broken.jpg" in str(errors[0]) and "missing.png" in str(errors[1])
    assert "one colour" in str(errors[2]) and "s4" in str(errors[3])


def test_a_folder_that_is_gone_is_no_fault_of_its_images(tmp_path: Path) -> None:
    model = FolderSubject(tmp_path / "gone", 64)
    with pytest.raises(FileNotFoundError, match="subjects.path: .*gone is not a folder"):
        model.create([Subject("s0", "mug", "a mug", 0, "fine.png")])
