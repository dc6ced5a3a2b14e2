"""The DINO projection in stock UNets: the Refiner's and the View Generator's start, files and gradients."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.models.networks.dino_projection import add_dino_projection
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.architectures import DINO_DIM, build_view_generator_unet

pytestmark = pytest.mark.slow

TIMESTEPS = torch.tensor([3, 500, 999])


@pytest.fixture
def latents() -> Tensor:
    return torch.randn((3, 8, 16, 16), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def network() -> ViewGeneratorNetwork:
    torch.manual_seed(0)
    return ViewGeneratorNetwork.from_base(build_view_generator_unet(), DINO_DIM, untrained.epsilon_scheduler()).eval()


def sdxl_unet() -> UNet2DConditionModel:
    return untrained.build("sdxl").unet


def test_projected_unet_goes_through_stock_files(tmp_path: Path, latents: Tensor, tokens: Tensor) -> None:
    unet = build_view_generator_unet().eval()
    add_dino_projection(unet, DINO_DIM)
    unet.save_pretrained(tmp_path)
    stock, report = UNet2DConditionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert stock.config.encoder_hid_dim == DINO_DIM and isinstance(stock.encoder_hid_proj, nn.Linear)
    with torch.no_grad():
        results = [each(latents, TIMESTEPS, encoder_hidden_states=tokens).sample for each in (unet, stock)]
    assert torch.equal(*results)


def test_projection_replaces_text_exactly(latents: Tensor, tokens: Tensor) -> None:
    unet = build_view_generator_unet().eval()
    with torch.no_grad():
        projection = nn.Linear(DINO_DIM, unet.config.cross_attention_dim)
        expected = unet(latents, TIMESTEPS, encoder_hidden_states=projection(tokens)).sample
        add_dino_projection(unet, DINO_DIM)
        unet.encoder_hid_proj.load_state_dict(projection.state_dict())
        assert torch.equal(unet(latents, TIMESTEPS, encoder_hidden_states=tokens).sample, expected)


def test_a_second_projection_is_refused() -> None:
    unet = untrained.build("view_generator")
    with pytest.raises(ValueError, match="text_proj"):
        add_dino_projection(unet, DINO_DIM)


def test_a_refiner_starts_from_sdxl_without_token_map(tmp_path: Path, latents: Tensor, tokens: Tensor) -> None:
    base = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1)
    unet = sdxl_unet()
    before = sum(parameter.numel() for parameter in unet.parameters())
    network = RefinerNetwork.from_base(unet, DINO_DIM, base, vae_scale_factor=4).eval()
    assert network.token_map is None
    assert sum(parameter.numel() for parameter in network.parameters()) - before == (DINO_DIM + 1) * 32
    # Euler's add_noise follows another convention: the networks train on DDIM's, over the same schedule
    assert isinstance(network.scheduler, DDIMScheduler) and not network.scheduler.config.clip_sample
    assert torch.equal(network.scheduler.alphas_cumprod, base.alphas_cumprod)
    assert network.scheduler.config.prediction_type == "epsilon" and network.scheduler.config.steps_offset == 1
    network.save(tmp_path, untrained.build("vae"))
    with torch.no_grad():
        again = RefinerNetwork.load(tmp_path, 4)(latents, TIMESTEPS, tokens)
        assert torch.equal(network(latents, TIMESTEPS, tokens), again)


def test_a_refiner_conditions_on_the_size_before_resizing(latents: Tensor, tokens: Tensor) -> None:
    network = RefinerNetwork.from_base(sdxl_unet(), DINO_DIM, untrained.epsilon_scheduler(), vae_scale_factor=4).eval()
    side = 4 * latents.shape[-1]
    with torch.no_grad():
        native = network(latents, TIMESTEPS, tokens)
        told = network(latents, TIMESTEPS, tokens, torch.full((len(latents),), side))
        sides = torch.tensor([side // 2] + [side] * (len(latents) - 1))
        enlarged = network(latents, TIMESTEPS, tokens, sides)
    assert torch.equal(native, told)
    assert torch.equal(enlarged[1:], native[1:]) and not torch.equal(enlarged[0], native[0])


def test_the_view_generator_predicts_velocity_whatever_its_base_did(network: ViewGeneratorNetwork) -> None:
    config = network.scheduler.config
    assert (config.prediction_type, config.steps_offset, config.beta_schedule) == ("v_prediction", 1, "scaled_linear")


def test_networks_take_other_dtypes(network: ViewGeneratorNetwork, latents: Tensor, tokens: Tensor) -> None:
    with torch.no_grad():
        expected = network(latents, TIMESTEPS, tokens)
        found = network.bfloat16()(latents, TIMESTEPS, tokens)
    assert found.dtype == torch.bfloat16 and (found.float() - expected).abs().mean() < 0.05


def test_saved_view_generator_is_a_stock_pipeline(
    tmp_path: Path, network: ViewGeneratorNetwork, latents: Tensor, tokens: Tensor
) -> None:
    vae = untrained.build("vae")
    network.save(tmp_path, vae)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline" and index["text_encoder"] == [None, None]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["scheduler", "unet", "vae"]
    assert not list(tmp_path.rglob("*.bin"))
    for model_class, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")):
        _, report = model_class.from_pretrained(tmp_path, subfolder=part, output_loading_info=True)
        assert not any(report.values()), (part, report)
    pipeline = StableDiffusionPipeline.from_pretrained(
        tmp_path, text_encoder=None, tokenizer=None, safety_checker=None, feature_extractor=None
    )
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    with torch.no_grad():
        stock = pipeline.unet(latents, TIMESTEPS, encoder_hidden_states=tokens).sample
        assert torch.equal(stock, network(latents, TIMESTEPS, tokens))


def test_stock_pipeline_and_view_generator_draw_the_same(
    tmp_path: Path, network: ViewGeneratorNetwork, tokens: Tensor, make_config, device: torch.device
) -> None:
    network.save(tmp_path, untrained.build("vae"))
    config = make_config({"view_generator": ModelSpec(path=tmp_path)})
    ours = load_role("view", config, device).generate(tokens[:1], [], [7])[0]
    pipeline = StableDiffusionPipeline.from_pretrained(
        tmp_path, text_encoder=None, tokenizer=None, safety_checker=None, feature_extractor=None
    )
    pipeline.set_progress_bar_config(disable=True)
    stock = pipeline(
        prompt_embeds=tokens[:1],
        negative_prompt_embeds=torch.zeros_like(tokens[:1]),
        num_inference_steps=config.stages.view.sampling.num_inference_steps,
        guidance_scale=config.stages.view.sampling.guidance_scale,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
    ).images[0]
    assert np.abs(ours.astype(float) - stock * 255).max() <= 1.5


@pytest.mark.parametrize("kind", ["refiner", "view"])
def test_checkpointing_changes_no_gradient(
    kind: str, network: ViewGeneratorNetwork, latents: Tensor, tokens: Tensor
) -> None:
    if kind == "refiner":
        network = RefinerNetwork.from_base(sdxl_unet(), DINO_DIM, untrained.epsilon_scheduler(), 4)
    network.train()
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            network.enable_gradient_checkpointing()
        network.zero_grad()
        network(latents, TIMESTEPS, tokens).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    assert network.unet.is_gradient_checkpointing
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))
