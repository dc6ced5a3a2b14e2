"""ToffeeNet's training: from an input image and a prompt to the target of a generated pair (paper section 3.4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.models.blended import latent_mask
from toffee_pipeline.models.dino import token_dim
from toffee_pipeline.models.loading import build_untrained, no_autocast
from toffee_pipeline.models.networks.toffeenet import CONSTANT_DEPTH, ToffeeNetNetwork
from toffee_pipeline.models.text_encoder import load_text_encoder
from toffee_pipeline.models.tiny.architectures import DINO_DIM, PATCH_PX, build_toffeenet_base_unet
from toffee_pipeline.models.tiny.sdxl import load_unet, take_over_text
from toffee_pipeline.models.toffeenet import ToffeeNet, encode_prompts
from toffee_pipeline.train.data.examples import Block
from toffee_pipeline.train.losses import diffusion_loss, drop
from toffee_pipeline.train.tasks.base import Task, grid_seeds


class ToffeeNetTask(Task):
    """Every pair is one example; the variants -E and -G take one kind of pair alone."""

    config: ToffeeNetTraining

    def use(self, device: torch.device) -> None:
        super().use(device)
        self.text_encoder, self.tokenizer = load_text_encoder(self.config.models.base, device)
        size = self.config.size_px
        self.black_latents = self.encoders.latents([np.zeros((size, size, 3), np.uint8)])

    def build(self) -> nn.Module:
        base = self.config.models.base
        if base.weights == "untrained":
            return build_untrained("toffeenet").train()
        if base.weights == "nano":
            unet = build_toffeenet_base_unet()
            take_over_text(unet, load_unet())
            return ToffeeNetNetwork.from_base(unet, DINO_DIM, self.scheduler, PATCH_PX).train()
        dino_dim = token_dim(self.config.models.dino)
        unet = self.base_unet()
        return ToffeeNetNetwork.from_base(unet, dino_dim, self.scheduler, self.vae_scale_factor).train()

    def loss(self, network: nn.Module, rows: Block, generator: torch.Generator) -> Tensor:
        config, train = self.config, self.config.train
        target = self.latents(rows, "target")
        tokens = drop(self.tokens(rows, "input"), train.dino_dropout, generator)
        unsaid = torch.rand(len(target), generator=generator) < config.text_dropout
        prompts = ["" if drop_it else str(text) for drop_it, text in zip(unsaid, rows["text"], strict=True)]
        constant = torch.rand(len(target), generator=generator) < config.constant_depth_probability
        depth = self._depth(rows)
        depth = torch.where(constant.to(depth.device)[:, None, None, None], CONSTANT_DEPTH, depth)
        mask, masked = self._region(rows)
        with torch.no_grad(), no_autocast(self.device):
            text = encode_prompts(self.text_encoder, self.tokenizer, prompts, self.device)
        return diffusion_loss(
            lambda noisy, timesteps: network(noisy, timesteps, text, tokens, mask, masked, depth),
            self.scheduler,
            target,
            generator,
            train.min_snr_gamma,
        )

    def _depth(self, rows: Block) -> Tensor:
        """Inverse depth of the targets, float32 (b, 1, s, s)."""
        if self.encoders.depth_estimator is not None and "target" in rows:
            depth = self.encoders.depths(rows["target"])
        else:
            depth = rows["depth"]
        return torch.from_numpy(depth).float()[:, None].to(self.device)

    def _region(self, rows: Block) -> tuple[Tensor, Tensor]:
        """Editing mask (b, 1, h, w) and masked-image latents (b, c, h, w): all white and all black to generate."""
        edits = rows["kind"] == "edit"
        masks = np.where(edits[:, None, None], rows["mask"], True)
        masked = self.black_latents.repeat(len(edits), 1, 1, 1)
        if edits.any():  # the others' pictures are not encoded
            chosen = {name: values[edits] for name, values in rows.items()}
            masked[torch.from_numpy(edits)] = self.latents(chosen, "masked")
        return latent_mask(list(masks), self.encoders.autoencoder.scale_factor, self.device), masked

    def sample(self, network: nn.Module, rows: Block) -> tuple[list[str], list[list[np.ndarray]]]:
        assert isinstance(network, ToffeeNetNetwork)
        autoencoder, sampling = self.encoders.autoencoder, self.config.sampling
        sampler = ToffeeNet(network, autoencoder, self.text_encoder, self.tokenizer, sampling, self.device)
        tokens, prompts = self.tokens(rows, "input"), [str(text) for text in rows["text"]]
        depths = list(self._depth(rows)[:, 0].cpu().numpy())
        seeds = grid_seeds(len(prompts))
        drawn = [sampler.generate(tokens, prompts, seeds, depths), sampler.generate(tokens, prompts, seeds)]
        columns = [self.shown(rows, "input"), self.shown(rows, "target"), *map(self.finite, drawn)]
        names = ["input", "target", "drawn, with depth", "drawn, new view"]
        return names, [list(row) for row in zip(*columns, strict=True)]

    def save(self, network: nn.Module, folder: Path) -> None:
        assert isinstance(network, ToffeeNetNetwork)
        network.save(folder, self.encoders.autoencoder.vae, self.text_encoder, self.tokenizer)
