"""The code of a model card, run by stock libraries alone, draws what this project's own samplers draw."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from tests.helpers.stock_process import run_stock
from tests.helpers.toffeenet_run import randomized
from tests.train.test_card import FACTS, code_of, config_of
from toffee_pipeline.config.base import ModelSpec, SamplingConfig
from toffee_pipeline.config.stages import ViewConfig
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
from toffee_pipeline.models.sampling import denoise, guided, make_scheduler
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.architectures import DINO_DIM, PATCH_PX, build_toffeenet_base_unet
from toffee_pipeline.models.toffeenet import ToffeeNet
from toffee_pipeline.models.view_generator import ViewGenerator
from toffee_pipeline.models.weights import NANO_WEIGHTS
from toffee_pipeline.train.about import ABOUT
from toffee_pipeline.train.card import write_card

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
FOUR = {"in_channels": 4, "out_channels": 4}
SAMPLING = SamplingConfig(scheduler="ddim", num_inference_steps=2, guidance_scale=3.0)
MODEL = "path/to/this/folder"
NEW_IMAGE = """
pipeline(
    prompt="a photo of it", image=torch.zeros(1, 3, 64, 64), mask_image=torch.ones(1, 1, 64, 64),
    control_image=torch.zeros(1, 3, 64, 64), controlnet_conditioning_scale=1.0,
    ip_adapter_image_embeds=[torch.cat([torch.zeros_like(tokens), tokens])[:, None]],
    num_inference_steps=2, guidance_scale=3.0, generator=torch.Generator().manual_seed(1),
).images[0].save("new.png")
"""
"""Beside the edit that ToffeeNet's card shows."""
MASK = np.zeros((64, 64), bool)
MASK[10:51, 7:45] = True  # no multiple of the VAE's factor
DEPTH = np.linspace(0, 255, 64, dtype=np.uint8).repeat(64).reshape(64, 64)


def picture(seed: int) -> np.ndarray:
    """A smooth random image, uint8 (64, 64, 3)."""
    coarse = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")
    return (smooth[0] * 255).to(torch.uint8).permute(1, 2, 0).numpy()


def four_channel_vae() -> AutoencoderKL:
    """Its posterior is narrow, as a trained one's is: stock pipelines sample it, ours take the mean."""
    vae = AutoencoderKL.from_config(untrained.build("vae").config, latent_channels=4).eval()
    with torch.no_grad():
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -30
    return vae


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path)).astype(int)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a folder for each network's card and the pictures that it asks for, and a DINO."""
    root = tmp_path_factory.mktemp("stock")
    untrained.build("dino").save_pretrained(root / "dino")
    pixels = {"subject": picture(1), "draft": picture(2), "image": picture(2), "mask": MASK, "depth": DEPTH}
    for task in ABOUT:
        (root / task).mkdir()
        for name, array in pixels.items():
            Image.fromarray(array).save(root / task / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def refiner(root: Path) -> tuple[RefinerNetwork, AutoencoderKL]:
    unet = UNet2DConditionModel.from_config(untrained.build("sdxl").unet.config, **FOUR)
    network = RefinerNetwork.from_base(unet, DINO_DIM, untrained.epsilon_scheduler(), PATCH_PX).eval()
    vae = four_channel_vae()
    network.save(root / "train_refiner" / MODEL, vae)
    return network, vae


@pytest.fixture(scope="module")
def view_generator(root: Path) -> None:
    """Of nano's size, with the packaged DINO."""
    network = ViewGeneratorNetwork(untrained.build("view_generator"), untrained.velocity_scheduler())
    network.save(root / "train_view_generator" / MODEL, untrained.build("vae"))
    nano = root / "train_view_generator/toffee_pipeline/nano"
    nano.mkdir(parents=True)
    (nano / "weights").symlink_to(NANO_WEIGHTS)


@pytest.fixture(scope="module")
def toffeenet(root: Path) -> tuple[ToffeeNetNetwork, AutoencoderKL, CLIPTextModel, CLIPTokenizer]:
    base = UNet2DConditionModel.from_config(build_toffeenet_base_unet().config, **FOUR)
    network = randomized(ToffeeNetNetwork.from_base(base, DINO_DIM, untrained.velocity_scheduler(), PATCH_PX)).eval()
    vae, (text_encoder, tokenizer) = four_channel_vae(), untrained.build("sd2")
    network.save(root / "train_toffeenet" / MODEL, vae, text_encoder, tokenizer)
    return network, vae, text_encoder, tokenizer


@pytest.fixture(scope="module")
def drawn(root: Path, refiner: Any, view_generator: None, toffeenet: Any) -> dict[str, tuple[Path, torch.Tensor]]:
    """By task: the folder in which the card's code ran, for two steps, and the subject's DINO tokens, in which the code
    and this project agree."""
    codes, dinos = {}, {}
    for task in ABOUT:
        dino = {"weights": "nano"} if task == "train_view_generator" else {"path": str(root / "dino")}
        config = config_of(task, {"base": {"path": "/models/base"}, "dino": dino})
        write_card(root / task / MODEL, task, config, FACTS)
        code = code_of((root / task / MODEL / "README.md").read_text())
        code = code.replace("num_inference_steps=25", "num_inference_steps=2")
        more = NEW_IMAGE if task == "train_toffeenet" else ""
        codes[root / task], dinos[task] = f"{code}\ntorch.save(tokens, 'tokens.pt')\n{more}", config.models.dino
    run_stock(codes)
    found = {}
    for task, spec in dinos.items():
        tokens = DinoEncoder(spec, CPU).encode([picture(1)])
        torch.testing.assert_close(torch.load(root / task / "tokens.pt"), tokens, rtol=0, atol=1e-5)
        found[task] = root / task, tokens
    return found


def test_refiner(refiner: Any, drawn: dict[str, tuple[Path, torch.Tensor]]) -> None:
    (network, vae), (folder, tokens) = refiner, drawn["train_refiner"]
    autoencoder, generator = Autoencoder(vae), torch.Generator().manual_seed(0)
    torch.randn((1, 4, 16, 16), generator=generator)  # the stock pipeline's first draw is the posterior's
    with torch.inference_mode():
        latents = denoise(
            guided(RefinerNetwork.load(folder / MODEL, PATCH_PX), tokens, SAMPLING.guidance_scale),
            make_scheduler(SAMPLING, network.scheduler.config),
            torch.randn((1, 4, 16, 16), generator=generator),
            SAMPLING.num_inference_steps,
            init_latents=autoencoder.encode([picture(2)]),
            strength=0.6,
        )
    ours = to_images(autoencoder.decode(latents))[0]
    assert np.abs(ours - read(folder / "refined.png")).max() <= 1
    assert np.abs(ours - picture(2).astype(int)).max() > 10


def test_view_generator_at_nano_size(drawn: dict[str, tuple[Path, torch.Tensor]]) -> None:
    folder, tokens = drawn["train_view_generator"]
    generator = ViewGenerator(ModelSpec(path=folder / MODEL), ViewConfig(sampling=SAMPLING), 64, CPU)
    ours = generator.generate(tokens, [], [0])[0]
    assert np.abs(ours - read(folder / "view.png")).max() <= 1


def test_toffeenet(toffeenet: Any, drawn: dict[str, tuple[Path, torch.Tensor]]) -> None:
    """An edit, which the card shows, and a new image from the same pipeline."""
    (network, vae, text_encoder, tokenizer), (folder, tokens) = toffeenet, drawn["train_toffeenet"]
    assert set(DiffusionPipeline.from_pretrained(folder / MODEL).components) >= {"controlnet", "vae", "tokenizer"}
    ours = ToffeeNet(network, Autoencoder(vae), text_encoder, tokenizer, SAMPLING, CPU)
    depths = [DEPTH.astype(np.float32) / 255]
    edited = ours.edit(tokens, [picture(2)], [MASK], ["a photo of it on a beach"], [0], depths)[0]
    assert np.abs(edited - read(folder / "drawn.png"))[MASK].max() <= 1
    new = ours.generate(tokens, ["a photo of it"], [1])[0]
    assert np.abs(new - read(folder / "new.png")).max() <= 1
