"""What the GPU benchmarks share: the published networks with random weights, a shard's inputs, the card, and results.

The networks are made on the device and in their dtype: on the CPU, filling five billion numbers would take minutes.
`tiny` gives the untrained miniatures of the same classes instead, so that each benchmark runs on a CPU too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import diffusers
import numpy as np
import torch
import transformers
from diffusers import ControlNetModel, StableDiffusionXLPipeline
from PIL import Image
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from actors.guard import NoGuard
from actors.shard import Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import DraftConfig, RefineConfig, ViewConfig
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.dino import GRID, DinoEncoder
from toffee_pipeline.models.draft import ControlNetDraft
from toffee_pipeline.models.loading import DTYPES, pick_device
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.networks import published
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
from toffee_pipeline.models.refiner import Refiner
from toffee_pipeline.models.tensors import HALF, IMAGENET_MEAN, IMAGENET_STD
from toffee_pipeline.models.tiny import architectures, untrained
from toffee_pipeline.models.view_generator import ViewGenerator
from toffee_pipeline.plan.plan import Plan

SDXL_SCALING_FACTOR = 0.13025
VIEW_SIDE = 64
"""Latents of the View Generator: it is trained at 512 px."""
Network = TypeVar("Network", bound=nn.Module)


def make(build: Callable[[], Network], device: torch.device, dtype: torch.dtype = torch.float32) -> Network:
    """The network with seeded random weights, made on the device and in its dtype."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            return build().to(device, dtype).eval()
    finally:
        torch.set_default_dtype(before)


def _text_encoder() -> CLIPTextModel:
    """SDXL's first one, CLIP ViT-L/14's."""
    return CLIPTextModel(CLIPTextConfig(**_clip(768, 12, "quick_gelu"), projection_dim=768))


def _text_encoder_2() -> CLIPTextModelWithProjection:
    """SDXL's second one, OpenCLIP ViT-bigG/14's."""
    return CLIPTextModelWithProjection(CLIPTextConfig(**_clip(1280, 32, "gelu"), projection_dim=1280))


def _clip(width: int, layers: int, activation: str) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "hidden_act": activation,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 49407,
    }


class Networks:
    """The networks of the draft, of the Refiner, of DINO and of the View Generator, each made when it is asked for."""

    def __init__(self, config: RunConfig, device: torch.device, tiny: bool) -> None:
        self.config, self.device, self.tiny = config, device, tiny
        self.dtypes = {name: DTYPES[getattr(config.models, name).dtype] for name in ("sdxl", "dino", "refiner")}

    def sdxl(self) -> StableDiffusionXLPipeline:
        if self.tiny:
            return untrained.build("sdxl").to(self.device)
        on_device = partial(make, device=self.device, dtype=self.dtypes["sdxl"])
        tokenizer = untrained.clip_tokenizer()
        return StableDiffusionXLPipeline(
            vae=self.vae(self.dtypes["sdxl"]),
            text_encoder=on_device(_text_encoder),
            text_encoder_2=on_device(_text_encoder_2),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            unet=on_device(published.sdxl_unet),
            scheduler=untrained.epsilon_scheduler(),
            add_watermarker=False,
        )

    def vae(self, dtype: torch.dtype = torch.float32) -> Any:
        if self.tiny:
            return untrained.build("vae").to(self.device)
        return make(partial(published.stable_diffusion_vae, SDXL_SCALING_FACTOR), self.device, dtype)

    def controlnet(self, pipeline: StableDiffusionXLPipeline) -> ControlNetModel:
        if self.tiny:
            return untrained.build("controlnet").to(self.device)
        build = partial(ControlNetModel.from_unet, pipeline.unet, load_weights_from_unet=False)
        return make(build, self.device, self.dtypes["sdxl"])

    def dino(self) -> Any:
        if self.tiny:
            return untrained.build("dino").to(self.device)
        return make(published.dinov2_giant, self.device, self.dtypes["dino"])

    def refiner(self) -> RefinerNetwork:
        scheduler = untrained.velocity_scheduler()
        if self.tiny:
            unet = make(partial(architectures.build_refiner_unet, token_map=False), self.device)
            return RefinerNetwork(unet, None, scheduler, architectures.PATCH_PX).eval()
        unet = make(published.sdxl_unet, self.device, self.dtypes["refiner"])
        return RefinerNetwork.from_base(unet, published.DINOV2_GIANT_DIM, scheduler).eval()

    def view_generator(self) -> ViewGeneratorNetwork:
        scheduler = untrained.velocity_scheduler()
        if self.tiny:
            return ViewGeneratorNetwork(untrained.build("view_generator").to(self.device), scheduler).eval()
        unet = make(published.sd2_unet, self.device, DTYPES[self.config.models.view_generator.dtype])
        return ViewGeneratorNetwork.from_base(unet, published.DINOV2_GIANT_DIM, scheduler).eval()


class RandomDraft(ControlNetDraft):
    """As its base, over networks that are there."""

    def __init__(self, networks: Networks, settings: DraftConfig, size_px: int) -> None:
        self.device, self.settings, self.size_px = networks.device, settings, size_px
        self.pipeline = networks.sdxl()
        self.controlnet = networks.controlnet(self.pipeline)
        self.autoencoder = Autoencoder(self.pipeline.vae)
        self.unet, self.scheduler_config = self.pipeline.unet, self.pipeline.scheduler.config


class RandomDino(DinoEncoder):
    """As its base, over a network that is there."""

    def __init__(self, networks: Networks) -> None:
        self.device, self.model = networks.device, networks.dino()
        self.size_px = GRID * self.model.config.patch_size
        self.mean, self.std = (HALF, HALF) if networks.tiny else (IMAGENET_MEAN, IMAGENET_STD)


class RandomRefiner(Refiner):
    """As its base, over networks that are there."""

    def __init__(self, networks: Networks, settings: RefineConfig) -> None:
        self.device, self.strength, self.sampling = networks.device, settings.strength, settings.sampling
        self.autoencoder, self.network = Autoencoder(networks.vae()), networks.refiner()


class RandomView(ViewGenerator):
    """As its base, over networks that are there."""

    def __init__(self, networks: Networks, settings: ViewConfig, size_px: int) -> None:
        self.device, self.sampling, self.size_px = networks.device, settings.sampling, size_px
        self.network, self.autoencoder = networks.view_generator(), Autoencoder(networks.vae())
        side = self.network.unet.config.sample_size if networks.tiny else VIEW_SIDE
        self.latents_shape = (self.autoencoder.channels, side, side)


def run_config(tiny: bool, device: str, pairs: int, overrides: tuple[str, ...] = ()) -> RunConfig:
    """The sdxl profile for one shard of generation pairs; tiny: its stages at the miniatures' 64 px."""
    small: tuple[str, ...] = ()
    if tiny:
        names = ("sdxl", "controlnet", "dino", "refiner", "view_generator")
        small = ("size_px=64", *(f"models.{name}.dtype=float32" for name in names))
    counts = (f"pairs.count={pairs}", f"subjects_per_shard={pairs}", "pairs.edit_fraction=0", f"device={device}")
    return load_config("sdxl", (*counts, *small, *overrides))


def random_models(config: RunConfig, tiny: bool) -> ModelSet:
    """Draft, Refiner and DINO of random weights, on the config's device; the other roles are left to their loaders."""
    models = ModelSet(config)
    networks = Networks(config, models.device, tiny)
    models.draft = RandomDraft(networks, config.stages.draft, config.size_px)
    models.dino = RandomDino(networks)
    models.refiner = RandomRefiner(networks, config.stages.refine)
    return models


def add_view(models: ModelSet, config: RunConfig, tiny: bool) -> None:
    """The View Generator too."""
    models.view = RandomView(Networks(config, models.device, tiny), config.stages.view, config.size_px)


def random_image(size_px: int, seed: int) -> np.ndarray:
    """uint8 (size_px, size_px, 3): smooth colours under a little noise, which PNG packs about as well as a photo."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size_px, size_px), Image.Resampling.BICUBIC), np.int16)
    return (smooth + rng.integers(-6, 7, smooth.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8)


def fill_subject(state: SubjectState, size_px: int) -> None:
    """Image, mask and depth of a subject, as the stages before the draft leave them."""
    image = random_image(size_px, state.subject.seed % 2**32)
    axis = np.linspace(-1, 1, size_px, dtype=np.float32)
    disk = (axis[:, None] ** 2 + axis[None] ** 2) < 0.4
    state.image, state.mask = encode_png(image), encode_mask(disk)
    state.depth = encode_depth(np.where(disk, 1, image[..., 0] / np.float32(510)).astype(np.float32))


def filled_shard(config: RunConfig, index: int = 0) -> Shard:
    """A shard of the plan whose subjects are there."""
    shard = Shard.from_plan(Plan(config), index)
    for state in shard.subjects.values():
        fill_subject(state, config.size_px)
    return shard


def run_stage(stage_class: type[Stage], models: ModelSet, shard: Shard) -> float:
    """Seconds of one stage over the shard, until the device is done. Raises RuntimeError where a pair fails."""
    stage = stage_class(models.config, models, lambda *figures: None, NoGuard())
    began = now(models.device)
    stage(shard)
    elapsed = now(models.device) - began
    if errors := {state.error for state in shard.pairs if state.status != "ok"}:
        raise RuntimeError(f"{stage.name}: {'; '.join(map(str, errors))}")
    return elapsed


def now(device: torch.device) -> float:
    """Seconds of a clock, read when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> float:
    """FLOP/s of a large matrix product of random numbers, the best of ten."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(12):
        began = now(device)
        a @ b
        times.append(now(device) - began)
    return 2 * size**3 / min(times[2:])


class Results:
    """The card and what is measured on it: a line on stdout and the whole file anew after every figure, so that a run
    which is cut off loses nothing. path: None writes no file."""

    def __init__(self, benchmark: str, device: torch.device, path: Path | None) -> None:
        self.device, self.path = device, path
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        self.peak = matrix_rate(device)
        self.found: dict[str, Any] = {
            "benchmark": benchmark,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "card": card,
            "measured_bf16_matrix_tflop_per_s": self.peak / 1e12,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        }
        for name, value in self.found.items():
            self._say(name, value)

    def add(self, **figures: Any) -> None:
        """Figures by name; those that were there under these names are replaced."""
        if self.device.type == "cuda":
            self.found["peak_memory_gib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)
        self.found |= figures
        for name, value in figures.items():
            self._say(name, value)
        if self.path is not None:
            self.path.write_text(json.dumps(self.found, indent=2) + "\n")

    @staticmethod
    def _say(name: str, value: Any) -> None:
        print(f"{name:42} {value:.4g}" if isinstance(value, float) else f"{name:42} {value}", flush=True)


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """--device, --tiny and --json."""
    for option in (
        click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda", show_default=True),
        click.option("--tiny", is_flag=True, help="Miniatures of the networks at 64 px: to try the script, on a CPU."),
        click.option("--json", "path", type=click.Path(path_type=Path), help="Also write the figures to this file."),
    ):
        command = option(command)
    return command


def set_up(device_name: str) -> torch.device:
    """The device, ready to be measured."""
    diffusers.utils.logging.set_verbosity_error()  # it warns of every cast
    device = pick_device("cuda" if device_name == "cuda" else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    return device
