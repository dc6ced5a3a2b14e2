"""Training from published folders: tiny pipelines of the real layout, written by stock classes, and back again."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from jobs import train_refiner, train_toffeenet, train_view_generator
from tests.helpers.training import SMALL, make_config
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.tiny.untrained import build
from toffee_pipeline.train.tasks import make_task

pytestmark = pytest.mark.slow
BLOCKS = {"layers_per_block": 1, "block_out_channels": (32, 64), "norm_num_groups": 8, "attention_head_dim": (2, 4)}


def tiny_vae():
    return AutoencoderKL(
        block_out_channels=(16, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Stable Diffusion 2, SDXL and DINOv2 as their folders look, tiny, with random weights."""
    root = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    text_encoder, tokenizer = build("sd2")
    unet = UNet2DConditionModel(
        **BLOCKS,
        sample_size=32,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_encoder.config.hidden_size,
        use_linear_projection=True,
    )
    scheduler = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    StableDiffusionPipeline(
        tiny_vae(), text_encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    ).save_pretrained(root / "sd2")
    config = root / "sd2/unet/config.json"  # as Stability AI's says, which pipelines treat as of old
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_diffusers_version": "0.8.0"}))
    sdxl = UNet2DConditionModel(
        **BLOCKS,
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=48,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    for folder, part in (("unet", sdxl), ("vae", tiny_vae()), ("scheduler", scheduler)):
        part.save_pretrained(root / "sdxl" / folder)
    build("dino").save_pretrained(root / "dino")
    objects = root / "mvimgnet/teapot/one/images"
    objects.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (96, 128, 3), np.uint8)).save(objects / f"{number:03d}.jpg")
    return root


def train(job, output, profile, root, *overrides):
    settings = (
        *(item for item in SMALL if not item.startswith("data.sources")),
        f"models.dino.path={root / 'dino'}",
        "models.dino.dtype=float32",
        "size_px=64",
        "train.max_steps=1",
        "workers.num_workers=1",
        "workers.num_cpus=1",
        "device=cpu",
        *overrides,
    )
    command = ["--config", profile, "--output", str(output), *(word for item in settings for word in ("--set", item))]
    result = CliRunner().invoke(job.main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Stock diffusers and transformers" in (output / "model/README.md").read_text()
    return output / "model"


def test_the_refiner_starts_from_sdxl(folders, tmp_path):
    config = f"models.base.path={folders / 'sdxl'}"
    data = f"data.sources=[{{format: mvimgnet, path: '{folders / 'mvimgnet'}'}}]"
    model = train(train_refiner, tmp_path / "run", "sdxl", folders, config, data, "data.min_side_px=96")
    unet, info = UNet2DConditionModel.from_pretrained(model / "unet", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert unet.encoder_hid_proj.weight.shape == (48, 128)
    before = UNet2DConditionModel.from_pretrained(folders / "sdxl/unet").state_dict()
    after = unet.state_dict()
    moved = [(after[name] - value).abs().max().item() for name, value in before.items()]
    assert 0 < max(moved) < 1e-3  # one step of a small learning rate away from SDXL
    pipeline = DiffusionPipeline.from_pretrained(model)
    assert isinstance(pipeline, StableDiffusionXLImg2ImgPipeline)
    pipeline.set_progress_bar_config(disable=True)
    tokens, pooled = torch.randn(1, 257, 128), torch.zeros(1, 16)
    drawn = pipeline(
        image=torch.rand(1, 3, 64, 64), prompt_embeds=tokens, pooled_prompt_embeds=pooled,
        negative_prompt_embeds=tokens * 0, negative_pooled_prompt_embeds=pooled, num_inference_steps=4,
    )  # fmt: skip
    assert drawn.images[0].size == (64, 64)


def test_the_view_generator_starts_from_stable_diffusion_2(folders, tmp_path):
    overrides = (
        f"models.base.path={folders / 'sd2'}",
        f"data.sources=[{{format: mvimgnet, path: '{folders / 'mvimgnet'}'}}]",
    )
    model = train(train_view_generator, tmp_path / "run", "sdxl", folders, *overrides)
    pipeline = StableDiffusionPipeline.from_pretrained(model, text_encoder=None, tokenizer=None)
    assert pipeline.unet.config.sample_size == 8  # 64 px of latents by eight
    assert pipeline.scheduler.config.prediction_type == "v_prediction"


def test_toffeenet_starts_as_stable_diffusion_2(folders, pairs, tmp_path):
    source = f"data.sources=[{{format: run, path: '{pairs}'}}]"
    untrained = [f"models.{name}.weights=untrained" for name in ("depth", "detector", "segmenter")]
    overrides = (
        f"models.base.path={folders / 'sd2'}",
        source,
        *untrained,
        "dino_input=segmented",
    )
    model = train(train_toffeenet, tmp_path / "run", "sdxl", folders, *overrides)
    network = ToffeeNetNetwork.load(model)
    assert network.unet.config.in_channels == 9
    pipeline = DiffusionPipeline.from_pretrained(model)
    assert isinstance(pipeline, StableDiffusionControlNetInpaintPipeline)
    base_parts = StableDiffusionPipeline.from_pretrained(folders / "sd2", safety_checker=None).components
    for part in ("vae", "text_encoder"):
        expected = base_parts[part].state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in getattr(pipeline, part).state_dict().items())
    assert pipeline.tokenizer.get_vocab() == base_parts["tokenizer"].get_vocab()
    dino = f"models.dino.path={folders / 'dino'}"
    config = make_config(ToffeeNetTraining, source, f"models.base.path={folders / 'sd2'}",
                         "models.base.weights=pretrained", "models.dino.weights=pretrained", dino)  # fmt: skip
    task = make_task(config.model_copy(update={"models": config.models.model_copy(update={"vae": None})}))
    task.use(torch.device("cpu"))
    start = task.build().eval()
    base = UNet2DConditionModel.from_pretrained(folders / "sd2/unet").eval()
    noisy, text = torch.randn(2, 4, 8, 8), torch.randn(2, 24, base.config.cross_attention_dim)
    with torch.no_grad():
        expected = base(noisy, 500, encoder_hidden_states=text).sample
        given = start(
            noisy, 500, text, torch.randn(2, 257, 128), torch.rand(2, 1, 8, 8), noisy, torch.rand(2, 1, 64, 64)
        )
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)


def test_a_missing_base_is_one_clear_line(tmp_path):
    command = ["--config", "sdxl", "--output", str(tmp_path / "run"), "--set", "models.base.path=/no/such/folder"]
    result = CliRunner().invoke(train_refiner.main, command, catch_exceptions=False)
    assert result.exit_code == 2
    assert result.output.strip().count("\n") == 0
