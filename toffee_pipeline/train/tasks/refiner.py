"""The Refiner's training: from an image's DINO tokens back to the image (Eq 1)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from toffee_pipeline.models.dino import token_dim
from toffee_pipeline.models.loading import build_untrained
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.sampling import guided
from toffee_pipeline.models.weights import resolve
from toffee_pipeline.train.data.examples import Block
from toffee_pipeline.train.tasks.base import Task, grid_seeds


class RefinerTask(Task):
    """Every image of every source is one example."""

    def build(self) -> nn.Module:
        base = self.config.models.base
        if base.weights == "untrained":
            return build_untrained("refiner").train()
        if base.weights == "nano":
            folder = resolve(base, "refiner")
            assert isinstance(folder, Path)
            return RefinerNetwork.load(folder, vae_scale_factor=self.vae_scale_factor).train()
        dino_dim = token_dim(self.config.models.dino)
        return RefinerNetwork.from_base(self.base_unet(), dino_dim, self.scheduler, self.vae_scale_factor).train()

    def loss(self, network: nn.Module, rows: Block, generator: torch.Generator) -> Tensor:
        sides = torch.from_numpy(rows["target_side_px"]).to(self.device)
        return self.loss_from_tokens(partial(network, original_side_px=sides), rows, "target", generator)

    def sample(self, network: nn.Module, rows: Block) -> tuple[list[str], list[list[np.ndarray]]]:
        latents, tokens = self.latents(rows, "target"), self.tokens(rows, "target")
        predict = guided(network, tokens, self.config.sampling.guidance_scale)
        drawn = self.draw(predict, tuple(latents.shape[1:]), grid_seeds(len(latents)))
        columns = [self.shown(rows, "target"), self.pictures(latents), drawn]
        return ["image", "through the VAE", "from its tokens"], [list(row) for row in zip(*columns, strict=True)]

    def save(self, network: nn.Module, folder: Path) -> None:
        assert isinstance(network, RefinerNetwork)
        network.save(folder, self.encoders.autoencoder.vae)
