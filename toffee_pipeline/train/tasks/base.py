"""What a training job needs to know of a network: its loss, its samples and its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.sampling import denoise, generators, initial_noise, make_scheduler
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.models.tiny.untrained import velocity_scheduler
from toffee_pipeline.models.weights import config_options, resolve
from toffee_pipeline.train.data.encode import FrozenEncoders
from toffee_pipeline.train.data.examples import Block
from toffee_pipeline.train.losses import diffusion_loss, drop

CPU = torch.device("cpu")


class Task(ABC):
    """One of the three trainings. Cheap to make and to pickle; the frozen networks come with `use`."""

    prediction_type: ClassVar[str | None] = None
    """None: as the base predicts."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def use(self, device: torch.device) -> None:
        """Loads the frozen networks."""
        self.device = device
        self.encoders = FrozenEncoders(self.config, device)

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config}

    @abstractmethod
    def build(self) -> nn.Module:
        """The network where training starts: float32, on the CPU."""

    @abstractmethod
    def loss(self, network: nn.Module, rows: Block, generator: torch.Generator) -> Tensor:
        """Mean loss of some rows, (); all randomness is the generator's."""

    @abstractmethod
    def sample(self, network: nn.Module, rows: Block) -> tuple[list[str], list[list[np.ndarray]]]:
        """Column names, and a list of uint8 (s, s, 3) per row: what the network draws beside what it should."""

    @abstractmethod
    def save(self, network: nn.Module, folder: Path) -> None:
        """Writes the trained network as its users load it."""

    def latents(self, rows: Block, slot: str) -> Tensor:
        """Scaled latents of a slot, float32 (b, c, h, w), from the cache or encoded now."""
        if f"{slot}_latents" in rows:
            return torch.from_numpy(rows[f"{slot}_latents"]).float().to(self.device)
        return self.encoders.latents(rows[slot])

    def tokens(self, rows: Block, slot: str) -> Tensor:
        """DINO tokens of a slot, float32 (b, 1 + n, c), from the cache or encoded now."""
        if f"{slot}_tokens" in rows:
            return torch.from_numpy(rows[f"{slot}_tokens"]).float().to(self.device)
        return self.encoders.tokens(rows[slot], list(rows.get("class_name", [""] * len(rows[slot]))))

    @cached_property
    def scheduler(self) -> DDIMScheduler:
        """The base's noise schedule and prediction type; v-prediction for nano."""
        base = self.config.models.base
        if base.weights != "pretrained":
            return velocity_scheduler()
        config = DDIMScheduler.load_config(resolve(base, "base"), subfolder="scheduler", **config_options(base))
        overrides = {"prediction_type": self.prediction_type} if self.prediction_type else {}
        return DDIMScheduler.from_config(config, **overrides)

    def base_unet(self) -> UNet2DConditionModel:
        """The UNet of a pretrained base, float32, told the size of the latents that it will see."""
        unet = load_model(UNet2DConditionModel, self.config.models.base, "base", CPU, "unet", torch.float32)
        # pipelines set the latents' size of a UNet from before diffusers 0.9, as Stable Diffusion 2's is, to 64 or more
        unet.register_to_config(
            sample_size=self.config.size_px // self.vae_scale_factor, _diffusers_version=diffusers.__version__
        )
        return unet

    @cached_property
    def vae_scale_factor(self) -> int:
        """Pixels per latent."""
        return self.encoders.autoencoder.scale_factor

    def loss_from_tokens(
        self, network: Callable[..., Tensor], rows: Block, token_slot: str, generator: torch.Generator
    ) -> Tensor:
        """Loss of a network that draws the target from DINO tokens alone: of the target (Eq 1) or an input (Eq 4)."""
        train = self.config.train
        tokens = drop(self.tokens(rows, token_slot), train.dino_dropout, generator)
        return diffusion_loss(
            lambda noisy, timesteps: network(noisy, timesteps, tokens),
            self.scheduler,
            self.latents(rows, "target"),
            generator,
            train.min_snr_gamma,
        )

    def draw(self, predict: Any, shape: tuple[int, ...], seeds: list[int]) -> list[np.ndarray]:
        """Images from pure noise: uint8 (s, s, 3) each; grey where the network gave no finite picture."""
        sources = generators(seeds)
        latents = denoise(
            predict,
            make_scheduler(self.config.sampling, self.scheduler.config),
            initial_noise(shape, sources, self.device),
            self.config.sampling.num_inference_steps,
            sources=sources,
        )
        return self.pictures(latents)

    def pictures(self, latents: Tensor) -> list[np.ndarray]:
        """Decoded latents (b, c, h, w): uint8 (s, s, 3) each; grey where not finite."""
        return self.finite(to_images(self.encoders.autoencoder.decode(latents)))

    def finite(self, images: Sequence[np.ndarray | SampleError]) -> list[np.ndarray]:
        """Grey squares where sampling failed, so that a grid shows it."""
        size = self.config.size_px
        return [np.full((size, size, 3), 128, np.uint8) if isinstance(i, SampleError) else i for i in images]

    def shown(self, rows: Block, slot: str) -> list[np.ndarray]:
        """A slot as pictures: its pixels, or its decoded latents where a cache gives no pixels."""
        return list(rows[slot]) if slot in rows else self.pictures(self.latents(rows, slot))


def grid_seeds(count: int, column: int = 0) -> list[int]:
    """Seeds of a sample grid, the same at every step."""
    return [1_000 * column + row for row in range(count)]
