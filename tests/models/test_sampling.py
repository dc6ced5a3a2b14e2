import numpy as np
import pytest
import torch
from torch import Tensor

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.sampling import Blend, Scheduler, denoise, generators, guided, initial_noise, make_scheduler
from toffee_pipeline.models.tensors import center_crop, resize, to_images, to_tensor
from toffee_pipeline.models.tiny.untrained import epsilon_scheduler, velocity_scheduler

SHAPE = (8, 16, 16)
CPU = torch.device("cpu")
NAMES = ("ddim", "dpm++", "euler", "lcm")


def scheduler(name: str, velocity: bool = False) -> Scheduler:
    base = (velocity_scheduler() if velocity else epsilon_scheduler()).config
    return make_scheduler(SamplingConfig(scheduler=name), base)


def oracle(clean: Tensor, base: Scheduler):
    """The network that knows the clean latents: what it should predict as noise."""

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        alpha = base.alphas_cumprod[timestep.long()]
        return (latents - alpha.sqrt() * clean) / (1 - alpha).sqrt()

    return predict


def noise(*seeds: int) -> Tensor:
    return initial_noise(SHAPE, generators(seeds), CPU)


def test_noise_of_a_seed_does_not_depend_on_its_neighbours() -> None:
    assert torch.equal(noise(1, 2, 2**63 - 1)[1], noise(2)[0])
    assert not torch.equal(noise(1)[0], noise(2)[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_an_oracle_leads_to_its_latents(name: str, strength: float) -> None:
    clean, sampler = noise(7), scheduler(name)
    found = denoise(oracle(clean, sampler), sampler, noise(1), 20, init_latents=noise(3), strength=strength)
    assert (found - clean).abs().mean() < 0.06  # Stable Diffusion's DDIM leaves a little noise


@pytest.mark.parametrize("name", NAMES)
def test_steps_follow_strength(name: str) -> None:
    for strength, steps in ((0.6, 6), (1.0, 10), (0.01, 1)):
        seen: list[int] = []

        def predict(latents: Tensor, timestep: Tensor, seen: list[int] = seen) -> Tensor:
            seen.append(int(timestep))
            return torch.zeros_like(latents)

        sampler = scheduler(name)
        denoise(predict, sampler, noise(1), 10, init_latents=noise(3), strength=strength)
        assert seen == sampler.timesteps[10 - steps :].tolist()


@pytest.mark.parametrize("name", ["ddim", "dpm++", "euler"])  # each step of lcm goes to clean latents and back
@pytest.mark.parametrize("velocity", [False, True])
def test_a_small_strength_stays_close_to_the_start(name: str, velocity: bool) -> None:
    start, distances = noise(3), []
    for strength in (0.1, 0.5, 1.0):
        torch.manual_seed(0)
        found = denoise(
            lambda latents, timestep: 0.5 * latents,
            scheduler(name, velocity),
            noise(1),
            20,
            init_latents=start,
            strength=strength,
        )
        distances.append((found - start).abs().mean().item())
    assert distances[0] < 0.3 and distances == sorted(distances)


@pytest.mark.parametrize("name", NAMES)
def test_blend_keeps_latents_outside_its_mask_and_noises_them_as_the_schedule_says(name: str) -> None:
    kept, mask = noise(4), torch.zeros(1, 1, 16, 16)
    mask[..., 4:9, 4:9] = 1
    start, sampler = noise(1), scheduler(name)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        reference = scheduler(name)
        reference.set_timesteps(6)
        level = reference.scale_model_input(reference.add_noise(kept, start, timestep.expand(1)), timestep)
        assert torch.allclose((latents - level) * (1 - mask), torch.zeros(1), atol=1e-5)
        return torch.ones_like(latents)

    found = denoise(predict, sampler, start, 6, init_latents=noise(3), strength=0.7, blend=Blend(kept, mask, start))
    outside = (mask == 0).expand_as(kept)
    assert torch.equal(found[outside], kept[outside])
    assert not torch.allclose(found[~outside], kept[~outside], atol=0.1)


def timesteps(ends_in_noise: bool = False, **sampling) -> list[int]:
    base = {**epsilon_scheduler().config, "rescale_betas_zero_snr": ends_in_noise}
    steps = make_scheduler(SamplingConfig(**sampling), base)
    steps.set_timesteps(sampling["num_inference_steps"])
    return steps.timesteps.round().int().tolist()


def test_distilled_networks_find_the_steps_that_they_were_trained_for() -> None:
    """As the cards of SDXL-Lightning, Hyper-SD, DMD2 and LCM have them, over a schedule of 1000 steps."""
    trailing = {"num_inference_steps": 4, "timestep_spacing": "trailing"}
    for scheduler in ("euler", "ddim", "lcm"):
        assert timesteps(scheduler=scheduler, **trailing) == [999, 749, 499, 249]
    assert timesteps(scheduler="lcm", num_inference_steps=4) == [999, 759, 499, 259]
    assert timesteps(scheduler="ddim", num_inference_steps=4) != [999, 749, 499, 249]


def test_steps_are_spent_where_something_is_seen_though_a_schedule_ends_in_pure_noise() -> None:
    sampling = {"scheduler": "dpm++", "num_inference_steps": 25, "timestep_spacing": "trailing"}
    karras, evenly = (timesteps(ends_in_noise, **sampling) for ends_in_noise in (False, True))
    assert karras[12] < 500 < evenly[12]
    assert evenly == pytest.approx(range(999, 0, -40), abs=1)


def test_what_lcm_adds_after_a_step_is_the_samples_own() -> None:
    def drawn(*seeds: int) -> Tensor:
        sampler, sources = scheduler("lcm"), generators(seeds)
        start = initial_noise(SHAPE, sources, CPU)
        return denoise(lambda latents, timestep: 0.5 * latents, sampler, start, 4, sources=sources)

    assert torch.equal(drawn(1, 2)[1], drawn(2)[0])
    assert not torch.equal(drawn(1)[0], drawn(2)[0])


def test_more_steps_than_lcm_has_are_refused() -> None:
    with pytest.raises(ValueError, match="num_inference_steps=60: scheduler=lcm takes up to 50"):
        SamplingConfig(scheduler="lcm", num_inference_steps=60)
    SamplingConfig(scheduler="lcm", num_inference_steps=60, timestep_spacing="trailing")


def test_guidance_extrapolates_from_null_tokens_and_scale_1_is_one_pass() -> None:
    tokens, calls = torch.ones(2, 3, 4), []

    def network(latents: Tensor, timestep: Tensor, tokens: Tensor) -> Tensor:
        calls.append(len(latents))
        return latents + tokens.mean((1, 2))[:, None, None, None]

    latents = noise(1, 2)
    assert torch.allclose(guided(network, tokens, 3.0)(latents, torch.tensor(5)), latents + 3)
    assert torch.allclose(guided(network, tokens, 1.0)(latents, torch.tensor(5)), latents + 1)
    assert calls == [4, 2]


def test_bad_samples_become_errors_and_leave_their_neighbours() -> None:
    pixels = torch.full((4, 3, 4, 4), 0.5)
    pixels[0, 0, 0, 0] = torch.nan
    pixels[1] = -0.2
    pixels[3, :, 0] = 1
    broken, black, gray, fine = to_images(pixels)
    assert isinstance(broken, SampleError) and "NaN" in str(broken) and broken.reason == "not_finite"
    for flat, level in ((black, 0), (gray, 128)):
        assert isinstance(flat, SampleError) and flat.reason == "flat_image"
        assert str(flat) == f"the model's image is flat: RGB {(level,) * 3} all over"
    assert isinstance(fine, np.ndarray) and (fine[0] == 255).all() and (fine[1:] == 128).all()


def test_images_survive_the_way_to_tensors_and_back(images: list[np.ndarray]) -> None:
    pixels = to_tensor(images, CPU)
    assert pixels.shape == (3, 3, 64, 64) and pixels.max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(to_images(pixels), images, strict=True))
    assert resize(pixels, 64) is pixels
    assert torch.equal(center_crop(pixels, 32), pixels[..., 16:48, 16:48])
