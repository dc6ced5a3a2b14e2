"""The Refiner's network: SDXL's UNet on DINO tokens instead of text (paper section 3.1, Eq 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from toffee_pipeline.models.networks.dino_projection import add_dino_projection
from toffee_pipeline.models.weights import load_pretrained, loading_from

TOKEN_MAP_FILE = "token_map.safetensors"
UNET_FOLDER, SCHEDULER_FOLDER = "unet", "scheduler"


class RefinerNetwork(nn.Module):
    """The UNet and how DINO tokens enter it; the trainer and the sampler both call this one.

    Args:
        unet: `UNet2DConditionModel` with `encoder_hid_dim_type="text_proj"` (tokens to cross-attention) and SDXL's
            `text_time` conditioning.
        token_map: None in the paper, where tokens enter by cross-attention alone. A `Linear(dino_dim, k)` also lays the
            patch tokens on the latent grid as k more input channels: it lets the nano Refiner learn on a CPU.
        scheduler: the noise schedule and prediction type that the network is trained for, saved beside it.
        vae_scale_factor: pixels per latent, for SDXL's size conditioning.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        token_map: nn.Linear | None,
        scheduler: SchedulerMixin,
        vae_scale_factor: int = 8,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.token_map = token_map
        self.scheduler = scheduler
        self.vae_scale_factor = vae_scale_factor
        self.pooled_dim = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim

    @classmethod
    def from_base(
        cls, unet: UNet2DConditionModel, dino_dim: int, scheduler: SchedulerMixin, vae_scale_factor: int = 8
    ) -> Self:
        """Where the paper's training starts: SDXL's UNet, changed in place, with a new projection and no token map.

        Args:
            scheduler: the base's, of any class; its `prediction_type` stays.

        Raises ValueError where the UNet already projects its conditions.
        """
        add_dino_projection(unet, dino_dim)
        return cls(unet, None, DDIMScheduler.from_config(scheduler.config, clip_sample=False), vae_scale_factor)

    def forward(
        self, latents: Tensor, timestep: Tensor | int, tokens: Tensor, original_side_px: Tensor | None = None
    ) -> Tensor:
        """Predict noise or velocity, as the scheduler's `prediction_type` says.

        Args:
            latents: (b, c, h, w) noisy latents, scaled.
            timestep: int, () or (b,).
            tokens: (b, 1 + n, dino_dim), CLS first; n a square number. All zeros is the null condition.
            original_side_px: int (b,), sides of the squares that were resized to these sizes, for SDXL's size
                conditioning; None where nothing was, as in sampling.

        Returns:
            (b, c, h, w).
        """
        size, dtype = latents.shape[-2:], self.unet.dtype
        latents, tokens = latents.to(dtype), tokens.to(dtype)
        if self.token_map is not None:
            latents = torch.cat([latents, F.interpolate(self._grid(self.token_map(tokens[:, 1:])), size=size)], 1)
        height, width = (side * self.vae_scale_factor for side in size)
        time_ids = torch.tensor([height, width, 0, 0, height, width], device=latents.device, dtype=dtype)
        time_ids = time_ids.repeat(len(latents), 1)
        if original_side_px is not None:
            time_ids[:, :2] = original_side_px[:, None]
        conditions = {
            "text_embeds": latents.new_zeros(len(latents), self.pooled_dim),
            "time_ids": time_ids,
        }
        return self.unet(
            latents, timestep, encoder_hidden_states=tokens, added_cond_kwargs=conditions, return_dict=False
        )[0]

    @staticmethod
    def _grid(mapped: Tensor) -> Tensor:
        side = int(mapped.shape[1] ** 0.5)
        return mapped.transpose(1, 2).unflatten(2, (side, side))

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass: less memory, about a third more time."""
        self.unet.enable_gradient_checkpointing()

    def save(self, folder: Path, vae: AutoencoderKL | None = None) -> None:
        """Write a `StableDiffusionXLImg2ImgPipeline` of `unet`, `vae` and `scheduler`, without text encoders.

        The stock class takes tokens as `prompt_embeds`, and zeros as the pooled ones. None has a token map: then the
        folder is the UNet's own, with the token map and the scheduler beside it, and needs no `vae`.
        """
        if self.token_map is not None:
            self.unet.save_pretrained(folder)
            save_file({k: v.contiguous() for k, v in self.token_map.state_dict().items()}, folder / TOKEN_MAP_FILE)
            self.scheduler.save_pretrained(folder / SCHEDULER_FOLDER)
            return
        StableDiffusionXLImg2ImgPipeline(
            vae=vae,
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            unet=self.unet,
            scheduler=self.scheduler,
            add_watermarker=False,
        ).save_pretrained(folder)

    @classmethod
    def load(
        cls,
        folder: Path,
        vae_scale_factor: int = 8,
        dtype: torch.dtype = torch.float32,
        variant: str | None = None,
    ) -> Self:
        """Read what `save` wrote, in eval mode. Raises ConfigError where a part is missing or broken."""
        mapped = (folder / TOKEN_MAP_FILE).exists()
        unet_folder = folder if mapped else folder / UNET_FOLDER
        unet = load_pretrained(UNet2DConditionModel, unet_folder, dtype=dtype, variant=variant, local_files_only=True)
        scheduler = load_pretrained(DDIMScheduler, folder, subfolder=SCHEDULER_FOLDER, local_files_only=True)
        token_map = None
        if mapped:
            with loading_from(folder):
                state = load_file(folder / TOKEN_MAP_FILE)
                channels, dino_dim = state["weight"].shape
            token_map = nn.Linear(dino_dim, channels, dtype=dtype)
            token_map.load_state_dict(state)
        return cls(unet, token_map, scheduler, vae_scale_factor).eval()
