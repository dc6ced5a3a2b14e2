"""The code of a model card, run by stock libraries alone, draws what this project's own samplers draw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from PIL import Image

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
from toffee_pipeline.train.card import write_card

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
FOUR = {"in_channels": 4, "out_channels": 4}
SAMPLING = SamplingConfig(scheduler="ddim", num_inference_steps=2, guidance_scale=3.0)
MODEL = "path/to/this/folder"


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


def run_card(task: str, folder: Path, dino: dict, more: str = "") -> torch.Tensor:
    """Runs the card's code, for two steps, and some more; returns the DINO tokens of both, which must agree."""
    config = config_of(task, {"base": {"path": "/models/base"}, "dino": dino})
    write_card(folder / MODEL, task, config, FACTS)
    card = (folder / MODEL / "README.md").read_text()
    code = code_of(card).replace("num_inference_steps=25", "num_inference_steps=2")
    Image.fromarray(picture(1)).save(folder / "subject.png")
    run_stock(f"{code}\ntorch.save(tokens, 'tokens.pt')\n{more}", folder)
    tokens = DinoEncoder(config.models.dino, CPU).encode([picture(1)])
    torch.testing.assert_close(torch.load(folder / "tokens.pt"), tokens, rtol=0, atol=1e-5)
    return tokens


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path)).astype(int)


@pytest.fixture
def dino(tmp_path: Path) -> dict:
    untrained.build("dino").save_pretrained(tmp_path / "dino")
    return {"path": str(tmp_path / "dino")}


def test_refiner(tmp_path: Path, dino: dict) -> None:
    unet = UNet2DConditionModel.from_config(untrained.build("sdxl").unet.config, **FOUR)
    network = RefinerNetwork.from_base(unet, DINO_DIM, untrained.epsilon_scheduler(), PATCH_PX).eval()
    vae = four_channel_vae()
    network.save(tmp_path / MODEL, vae)
    Image.fromarray(picture(2)).save(tmp_path / "draft.png")
    tokens = run_card("train_refiner", tmp_path, dino)
    autoencoder, generator = Autoencoder(vae), torch.Generator().manual_seed(0)
    torch.randn((1, 4, 16, 16), generator=generator)  # the stock pipeline's first draw is the posterior's
    with torch.inference_mode():
        latents = denoise(
            guided(RefinerNetwork.load(tmp_path / MODEL, PATCH_PX), tokens, SAMPLING.guidance_scale),
            make_scheduler(SAMPLING, network.scheduler.config),
            torch.randn((1, 4, 16, 16), generator=generator),
            SAMPLING.num_inference_steps,
            init_latents=autoencoder.encode([picture(2)]),
            strength=0.6,
        )
    ours = to_images(autoencoder.decode(latents))[0]
    assert np.abs(ours - read(tmp_path / "refined.png")).max() <= 1
    assert np.abs(ours - picture(2).astype(int)).max() > 10


def test_view_generator_at_nano_size(tmp_path: Path) -> None:
    network = ViewGeneratorNetwork(untrained.build("view_generator"), untrained.velocity_scheduler())
    network.save(tmp_path / MODEL, untrained.build("vae"))
    nano = tmp_path / "toffee_pipeline/nano"
    nano.mkdir(parents=True)
    (nano / "weights").symlink_to(NANO_WEIGHTS)
    tokens = run_card("train_view_generator", tmp_path, {"weights": "nano"})
    generator = ViewGenerator(ModelSpec(path=tmp_path / MODEL), ViewConfig(sampling=SAMPLING), 64, CPU)
    ours = generator.generate(tokens, [], [0])[0]
    assert np.abs(ours - read(tmp_path / "view.png")).max() <= 1


def test_toffeenet(tmp_path: Path, dino: dict) -> None:
    """An edit, which the card shows, and a new image from the same pipeline."""
    base = UNet2DConditionModel.from_config(build_toffeenet_base_unet().config, **FOUR)
    network = randomized(ToffeeNetNetwork.from_base(base, DINO_DIM, untrained.velocity_scheduler(), PATCH_PX)).eval()
    vae, (text_encoder, tokenizer) = four_channel_vae(), untrained.build("sd2")
    network.save(tmp_path / MODEL, vae, text_encoder, tokenizer)
    assert set(DiffusionPipeline.from_pretrained(tmp_path / MODEL).components) >= {"controlnet", "vae", "tokenizer"}
    mask = np.zeros((64, 64), bool)
    mask[10:51, 7:45] = True  # no multiple of the VAE's factor
    depth = np.linspace(0, 255, 64, dtype=np.uint8).repeat(64).reshape(64, 64)
    for name, pixels in (("image", picture(2)), ("mask", mask), ("depth", depth)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    more = """
        pipeline(
            prompt="a photo of it", image=torch.zeros(1, 3, 64, 64), mask_image=torch.ones(1, 1, 64, 64),
            control_image=torch.zeros(1, 3, 64, 64), controlnet_conditioning_scale=1.0,
            ip_adapter_image_embeds=[torch.cat([torch.zeros_like(tokens), tokens])[:, None]],
            num_inference_steps=2, guidance_scale=3.0, generator=torch.Generator().manual_seed(1),
        ).images[0].save("new.png")
    """
    tokens = run_card("train_toffeenet", tmp_path, dino, more.strip())
    ours = ToffeeNet(network, Autoencoder(vae), text_encoder, tokenizer, SAMPLING, CPU)
    depths = [depth.astype(np.float32) / 255]
    edited = ours.edit(tokens, [picture(2)], [mask], ["a photo of it on a beach"], [0], depths)[0]
    assert np.abs(edited - read(tmp_path / "drawn.png"))[mask].max() <= 1
    new = ours.generate(tokens, ["a photo of it"], [1])[0]
    assert np.abs(new - read(tmp_path / "new.png")).max() <= 1
