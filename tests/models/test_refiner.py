from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from toffee_pipeline.config.base import ModelSpec, SamplingConfig, VaeSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.networks.refiner import TOKEN_MAP_FILE, RefinerNetwork
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.architectures import build_refiner_unet

pytestmark = pytest.mark.slow

SEEDS = [11, 12, 13]


@pytest.fixture
def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.kron(rng.random((8, 8)) < 0.4, np.ones((8, 8), bool)) for _ in SEEDS]


def test_refined_samples_are_independent(
    config: RunConfig,
    device: torch.device,
    images: list[np.ndarray],
    tokens: torch.Tensor,
    assert_independent: Callable,
) -> None:
    refiner = load_role("refiner", config, device)
    assert_independent(lambda rows: refiner.refine([images[i] for i in rows], tokens[rows], [SEEDS[i] for i in rows]))


def test_models_under_other_settings_draw_what_freshly_loaded_ones_do(
    config: RunConfig, device: torch.device, images: list[np.ndarray], tokens: torch.Tensor
) -> None:
    models, weaker = ModelSet(config), config.with_stage("refine", strength=0.3)
    own, other, fresh = (
        refiner.refine(images, tokens, SEEDS)
        for refiner in (models.refiner, models.under(weaker).refiner, load_role("refiner", weaker, device))
    )
    assert np.array_equal(other, fresh) and not np.array_equal(own, other)
    assert np.array_equal(models.refiner.refine(images, tokens, SEEDS), own)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_edits_are_independent_and_exact_outside_the_mask(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    images: list[np.ndarray],
    masks: list[np.ndarray],
    tokens: torch.Tensor,
    assert_independent: Callable,
    scheduler: str,
) -> None:
    sampling = SamplingConfig(scheduler=scheduler, num_inference_steps=4)
    refiner = load_role("refiner", make_config(stages={"refine": {"sampling": sampling}}), device)
    drafts = images[::-1]

    def edit(rows: list[int]) -> list[np.ndarray]:
        columns = ([values[i] for i in rows] for values in (images, drafts, masks))
        return refiner.edit(*columns, tokens[rows], [SEEDS[i] for i in rows])

    assert_independent(edit)
    for target, original, mask in zip(edit([0, 1, 2]), images, masks, strict=True):
        assert np.array_equal(target[~mask], original[~mask])
        assert (target[mask] != original[mask]).any()


def test_guidance_and_tokens_change_the_image(
    make_config: Callable[..., RunConfig], device: torch.device, images: list[np.ndarray], tokens: torch.Tensor
) -> None:
    plain = SamplingConfig(scheduler="ddim", num_inference_steps=4, guidance_scale=1.0)
    guided = plain.model_copy(update={"guidance_scale": 4.0})
    results = [
        load_role("refiner", make_config(stages={"refine": {"sampling": sampling, "strength": 1.0}}), device).refine(
            images[:1], condition, SEEDS[:1]
        )[0]
        for sampling, condition in ((plain, tokens[:1]), (guided, tokens[:1]), (plain, tokens[1:2]))
    ]
    assert not np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_a_sample_that_breaks_is_an_error_and_its_neighbours_live(
    config: RunConfig, device: torch.device, images: list[np.ndarray], masks: list[np.ndarray], tokens: torch.Tensor
) -> None:
    refiner = load_role("refiner", config, device)
    expected = refiner.refine(images, tokens, SEEDS)
    broken = tokens.clone()
    broken[1] = torch.nan
    refined = refiner.refine(images, broken, SEEDS)
    edited = refiner.edit(images, images[::-1], masks, broken, SEEDS)
    assert isinstance(refined[1], SampleError) and isinstance(edited[1], SampleError)
    assert all(np.array_equal(refined[i], expected[i]) for i in (0, 2))


@pytest.mark.parametrize("with_map", [True, False])
def test_folder_round_trip_and_stock_unet(tmp_path: Path, tokens: torch.Tensor, with_map: bool) -> None:
    network = untrained.build("refiner")
    if not with_map:
        network = RefinerNetwork(build_refiner_unet(token_map=False), None, network.scheduler, 4).eval()
    network.save(tmp_path, None if with_map else untrained.build("vae"))
    assert (tmp_path / TOKEN_MAP_FILE).exists() == with_map
    assert (tmp_path / "model_index.json").exists() != with_map  # no stock pipeline samples under a token map
    again = RefinerNetwork.load(tmp_path, 4)
    latents, timesteps = torch.randn(3, 8, 16, 16), torch.tensor([3, 500, 999])
    with torch.inference_mode():
        assert torch.equal(network(latents, timesteps, tokens), again(latents, timesteps, tokens))
    assert isinstance(again.scheduler, DDIMScheduler)
    assert again.scheduler.config.prediction_type == "v_prediction"
    stock = UNet2DConditionModel.from_pretrained(tmp_path if with_map else tmp_path / "unet")
    assert stock.config.encoder_hid_dim_type == "text_proj"
    assert all(torch.equal(value, network.unet.state_dict()[name]) for name, value in stock.state_dict().items())


def test_a_saved_refiner_loads_as_pretrained(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    tmp_path: Path,
    images: list[np.ndarray],
    tokens: torch.Tensor,
    config: RunConfig,
) -> None:
    untrained.build("refiner").half().save(tmp_path)
    weights = {"refiner": ModelSpec(path=tmp_path), "vae": VaeSpec(weights="untrained")}
    loaded = load_role("refiner", make_config(weights), device).refine(images, tokens, SEEDS)
    built = load_role("refiner", config, device).refine(images, tokens, SEEDS)
    assert np.abs(loaded[0].astype(int) - built[0]).mean() < 1  # saved in half precision
