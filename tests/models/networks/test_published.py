"""The published networks have their published sizes, and ours assemble from them; all on the meta device."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler
from torch import nn

from toffee_pipeline.models.networks import published
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork

pytestmark = pytest.mark.slow

LATENT_SIDE, CHANNELS, WIDTHS = 96, 4, (320, 640, 1280)


@pytest.fixture(autouse=True)
def meta():
    with torch.device("meta"):
        yield


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    "build, millions, decimals",
    [
        (published.sdxl_controlnet, 1251.0, 1),
        (published.sdxl_text_encoder, 123.1, 1),
        (published.sdxl_text_encoder_2, 694.7, 1),
        (published.dino_vits16, 21.7, 1),
        (published.depth_anything_large, 335.3, 1),
        (published.grounding_dino_base, 232.3, 1),
        (published.sd2_controlnet, 364.2, 1),
        (published.stable_diffusion_vae, 83.7, 1),
        (published.dinov2_giant, 1136, 0),
    ],
)
def test_sizes_are_the_published_ones(build: Callable[[], nn.Module], millions: float, decimals: int) -> None:
    assert round(parameters(build()) / 1e6, decimals) == millions


def test_dinov2_gives_the_papers_tokens_and_the_vae_its_latents() -> None:
    assert published.dinov2_giant()(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape == (1, 257, 1536)
    latents = published.stable_diffusion_vae().encode(torch.zeros(1, 3, 768, 768)).latent_dist.mode()
    assert latents.shape == (1, CHANNELS, LATENT_SIDE, LATENT_SIDE)


@pytest.mark.parametrize(
    "network, base, millions, width",
    [(RefinerNetwork, published.sdxl_unet, 2567.5, 2048), (ViewGeneratorNetwork, published.sd2_unet, 865.9, 1024)],
)
def test_refiner_and_view_generator_add_one_linear_layer(
    network: type, base: Callable[[], nn.Module], millions: float, width: int
) -> None:
    unet = base()
    before = parameters(unet)
    assert round(before / 1e6, 1) == millions
    built = network.from_base(unet, 1536, DDIMScheduler())
    assert parameters(built) - before == 1536 * width + width
    latents = torch.zeros(2, CHANNELS, LATENT_SIDE, LATENT_SIDE)
    assert built(latents, 10, torch.zeros(2, 257, 1536)).shape == latents.shape


def test_toffeenet_adds_input_channels_attention_over_dino_and_a_controlnet() -> None:
    unet = published.sd2_unet()
    before = parameters(unet)
    network = ToffeeNetNetwork.from_base(unet, 1536, DDIMScheduler())
    attention_widths = [width for width in WIDTHS for _ in range(5)] + [1280]  # down 2, up 3, middle 1
    projection = 1536 * 1536 + 1536 + 1536 * 1024 + 1024 + 2 * 1024
    expected = (CHANNELS + 1) * 9 * 320 + sum(2 * 1024 * width for width in attention_widths) + projection
    assert parameters(network.unet) - before == expected == 29_510_208
    assert parameters(network.controlnet) == parameters(published.sd2_controlnet())
    latents = torch.zeros(2, CHANNELS, LATENT_SIDE, LATENT_SIDE)
    mask, depth = torch.zeros(2, 1, LATENT_SIDE, LATENT_SIDE), torch.zeros(2, 1, 768, 768)
    text, tokens = torch.zeros(2, 77, 1024), torch.zeros(2, 257, 1536)
    assert network(latents, 10, text, tokens, mask, latents, depth).shape == latents.shape
