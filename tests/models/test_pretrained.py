"""Weights in local folders, in the layouts of the stock libraries, give what the same weights give in memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLControlNetPipeline, UNet2DConditionModel
from pydantic import ValidationError
from safetensors.torch import save_file
from transformers import ViTConfig, ViTModel

from toffee_pipeline.config.base import DistilledSpec, ModelSpec, SamplingConfig, SegmenterSpec, VaeSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models import grounded_sam
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.roles import describe_roles, load_role, require_weights
from toffee_pipeline.models.sampling import generators, make_scheduler
from toffee_pipeline.models.scores import DinoScorer
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., RunConfig]


def same(first: list, second: list) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_sdxl_and_controlnet(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    pairs: list[Pair],
    images: list[np.ndarray],
) -> None:
    untrained.build("sdxl").save_pretrained(tmp_path / "sdxl")
    untrained.build("controlnet").save_pretrained(tmp_path / "controlnet")
    loaded = make_config({name: ModelSpec(path=tmp_path / name) for name in ("sdxl", "controlnet")})
    assert same(*(load_role("subject", each, device).create(subjects) for each in (config, loaded)))
    depths = [np.eye(64, dtype=np.float32)] * 3
    assert same(
        *(
            load_role("draft", each, device).draft(pairs, subjects, depths, images, [None] * len(pairs))
            for each in (config, loaded)
        )
    )


def test_distilled_unets_of_subjects_and_drafts(make_config: MakeConfig, device: torch.device, tmp_path: Path) -> None:
    """A folder or one file; the UNet of the other role is SDXL's own."""
    pipeline = untrained.build("sdxl")
    pipeline.save_pretrained(tmp_path / "sdxl")
    torch.nn.init.ones_(pipeline.unet.conv_out.weight)
    pipeline.unet.save_pretrained(tmp_path / "folder")
    save_file(pipeline.unet.state_dict(), tmp_path / "file.safetensors")

    def is_distilled(unet: UNet2DConditionModel) -> bool:
        return bool((unet.conv_out.weight == 1).all())

    for name in ("folder", "file.safetensors"):
        own = {"sdxl": ModelSpec(path=tmp_path / "sdxl"), "draft_unet": DistilledSpec(path=tmp_path / name)}
        config = make_config(own)
        require_weights(config)
        assert describe_roles(config)["draft_unet"].startswith(f"pretrained {name} ")
        assert is_distilled(load_role("draft", config, device).unet)
        if name == "folder":
            assert not is_distilled(load_role("subject", config, device).pipeline.unet)
    both = make_config(own | {"subject_unet": own["draft_unet"]})
    assert is_distilled(load_role("subject", both, device).pipeline.unet)
    gone = make_config(own | {"draft_unet": DistilledSpec(path=tmp_path / "gone")})
    with pytest.raises(ConfigError, match="missing weights: draft_unet: no such file or folder: .*/gone"):
        require_weights(gone)


def test_a_draft_of_an_lcm_is_what_the_stock_pipeline_draws(
    make_config: MakeConfig, device: torch.device, tmp_path: Path, pairs: list[Pair], images: list[np.ndarray]
) -> None:
    """Its UNet reads the guidance scale: one pass per step."""
    pipeline = untrained.build("sdxl")
    pipeline.save_pretrained(tmp_path / "sdxl")
    torch.manual_seed(0)
    lcm = UNet2DConditionModel.from_config(pipeline.unet.config, time_cond_proj_dim=32)
    lcm.save_pretrained(tmp_path / "lcm")
    sampling = SamplingConfig(scheduler="lcm", num_inference_steps=2, guidance_scale=8.0)
    weights = {"sdxl": ModelSpec(path=tmp_path / "sdxl"), "draft_unet": DistilledSpec(path=tmp_path / "lcm")}
    model = load_role("draft", make_config(weights, stages={"draft": {"sampling": sampling}}), device)
    sizes: list[int] = []
    model.unet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    drawn = model.draft(pairs, [], [np.eye(64, dtype=np.float32)] * 3, images, [None] * 3)
    assert sizes == [3, 3]
    stock = StableDiffusionXLControlNetPipeline(
        **model.pipeline.components, controlnet=model.controlnet, add_watermarker=False
    )
    stock.scheduler = make_scheduler(sampling, model.scheduler_config)
    latents = stock(
        prompt=[pair.draft_prompt for pair in pairs],
        image=torch.eye(64).expand(3, 3, -1, -1),
        height=64,
        width=64,
        num_inference_steps=2,
        guidance_scale=8.0,
        controlnet_conditioning_scale=model.settings.controlnet_conditioning_scale,
        generator=generators([pair.seed for pair in pairs]),
        output_type="latent",
    ).images
    for own, expected in zip(drawn, to_images(model.autoencoder.decode(latents)), strict=True):
        assert np.abs(own.astype(int) - expected).max() <= 1


def test_a_vae_for_half_precision_takes_the_place_of_sdxls_own_everywhere(
    make_config: MakeConfig,
    device: torch.device,
    tmp_path: Path,
    images: list[np.ndarray],
) -> None:
    untrained.build("sdxl").save_pretrained(tmp_path / "sdxl")
    vae = untrained.build("vae")
    torch.nn.init.zeros_(vae.decoder.conv_out.bias)
    vae.save_pretrained(tmp_path / "vae")

    def models_with(dtype: str, folder: str = "vae") -> RunConfig:
        given = {"sdxl": ModelSpec(path=tmp_path / "sdxl"), "vae": VaeSpec(path=tmp_path / folder, dtype=dtype)}
        return make_config(given)

    half, full = models_with("float16"), models_with("float32")
    corner = images[0][:16, :16]  # a CPU takes seconds for a whole picture in half precision
    require_weights(half)
    assert {"subject_vae", "draft_vae", "vae"} <= describe_roles(half).keys()
    for role in ("subject", "draft", "refiner"):
        used = load_role(role, half, device).autoencoder
        assert used.vae.dtype == torch.float16 and not used.vae.decoder.conv_out.bias.any()
        expected = load_role(role, full, device).autoencoder
        latents = used.encode([corner])
        decoded = used.decode(latents)
        assert latents.dtype == decoded.dtype == torch.float32
        assert torch.allclose(decoded, expected.decode(expected.encode([corner])), atol=2 / 255)
    assert load_role("view", half, device).autoencoder.vae.dtype == torch.float32  # of other latents
    vae.register_to_config(scaling_factor=0.5)
    vae.save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="models.vae: its scaling_factor is 0.5, that of models.sdxl"):
        load_role("subject", models_with("float16", "other"), device)
    with pytest.raises(ValidationError, match="'float32' or 'float16'"):
        VaeSpec(path=tmp_path, dtype="bfloat16")
    nano = {"sdxl": ModelSpec(weights="nano"), "vae": VaeSpec(weights="nano")}
    assert "subject_vae" not in describe_roles(make_config(nano))


def test_view_generator(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    tokens: torch.Tensor,
) -> None:
    untrained.build("view_generator").save_pretrained(tmp_path / "unet")
    untrained.build("vae").save_pretrained(tmp_path / "vae")
    untrained.velocity_scheduler().save_pretrained(tmp_path / "scheduler")
    loaded = make_config({"view_generator": ModelSpec(path=tmp_path)})
    assert same(*(load_role("view", each, device).generate(tokens, subjects, [1, 2, 3]) for each in (config, loaded)))


def test_depth(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    images: list[np.ndarray],
) -> None:
    for part in untrained.build("depth"):
        part.save_pretrained(tmp_path)
    loaded = make_config({"depth": ModelSpec(path=tmp_path)})
    assert same(*(DepthEstimator(each.models.depth, device).estimate(images, subjects) for each in (config, loaded)))


def test_grounded_sam(
    make_config: MakeConfig,
    config: RunConfig,
    device: torch.device,
    tmp_path: Path,
    subjects: list[Subject],
    images: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for part in untrained.build("detector"):
        part.save_pretrained(tmp_path)
    sam = untrained.build("segmenter")
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.zero_()
    monkeypatch.setitem(grounded_sam.sam_model_registry, "vit_b", lambda checkpoint: sam)
    weights = {
        "detector": ModelSpec(path=tmp_path),
        "segmenter": SegmenterSpec(path=tmp_path / "sam.pth", type="vit_b"),
    }
    loaded = make_config(weights)
    assert same(*(load_role("mask", each, device).segment(images, subjects) for each in (config, loaded)))


def test_filter_dino_is_a_vit_of_224_px(device: torch.device, tmp_path: Path, images: list[np.ndarray]) -> None:
    options = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=224, **options)).save_pretrained(tmp_path)
    scorer = DinoScorer(ModelSpec(path=tmp_path), device)
    assert scorer.score(images, images) == pytest.approx([1, 1, 1], abs=1e-5)
