"""The View Generator's training: from one view's DINO tokens to another view of the same object (Eq 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from toffee_pipeline.models.dino import token_dim
from toffee_pipeline.models.loading import build_untrained
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
from toffee_pipeline.models.sampling import guided
from toffee_pipeline.models.tiny.sdxl import load_unet, take_over
from toffee_pipeline.train.data.examples import Block
from toffee_pipeline.train.tasks.base import Task, grid_seeds


class ViewGeneratorTask(Task):
    """Every view of an object is a target once per epoch; the input is another of its views, drawn at random."""

    prediction_type = "v_prediction"

    def build(self) -> nn.Module:
        base = self.config.models.base
        if base.weights != "pretrained":
            unet = build_untrained("view_generator")
            if base.weights == "nano":
                take_over(unet, load_unet())
            return ViewGeneratorNetwork(unet, self.scheduler).train()
        unet = self.base_unet()
        if unet.encoder_hid_proj is not None:  # a View Generator, which learns on
            return ViewGeneratorNetwork(unet, self.scheduler).train()
        return ViewGeneratorNetwork.from_base(unet, token_dim(self.config.models.dino), self.scheduler).train()

    def loss(self, network: nn.Module, rows: Block, generator: torch.Generator) -> Tensor:
        return self.loss_from_tokens(network, rows, "input", generator)

    def sample(self, network: nn.Module, rows: Block) -> tuple[list[str], list[list[np.ndarray]]]:
        latents, tokens = self.latents(rows, "target"), self.tokens(rows, "input")
        predict = guided(network, tokens, self.config.sampling.guidance_scale)
        views = [self.draw(predict, tuple(latents.shape[1:]), grid_seeds(len(latents), column)) for column in range(3)]
        columns = [self.shown(rows, "input"), self.shown(rows, "target"), *views]
        names = ["input", "a true other view", "drawn 1", "drawn 2", "drawn 3"]
        return names, [list(row) for row in zip(*columns, strict=True)]

    def save(self, network: nn.Module, folder: Path) -> None:
        assert isinstance(network, ViewGeneratorNetwork)
        network.save(folder, self.encoders.autoencoder.vae)
