"""ToffeeNet's network (paper section 3.4, Fig. 8): Stable Diffusion 2 under a mask, a depth map and DINO tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionControlNetInpaintPipeline,
    UNet2DConditionModel,
)
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from toffee_pipeline.models.networks.dino_adapter import (
    adapter_state,
    adapters,
    add_dino_adapter,
    load_adapter_state,
    without_adapter,
)
from toffee_pipeline.models.weights import load_pretrained, loading_from

ADAPTER_FILE = "dino_adapter.safetensors"
UNET_FOLDER, CONTROLNET_FOLDER, SCHEDULER_FOLDER = "unet", "controlnet", "scheduler"
CONSTANT_DEPTH = 0.0
"""Every value of the depth map that says nothing: half of the training samples have it, and at inference it asks for a
new view (ours: the paper does not say which constant). 0 is far away, which no subject is."""
CONDITION_CHANNELS = (16, 32, 96, 256)
"""Of ControlNet's encoder of the depth map, which halves it between one and the next."""
STOCK_LATENT_CHANNELS = 4
"""The stock pipeline gives mask and masked image to a UNet of 2 * 4 + 1 input channels alone."""


class ToffeeNetNetwork(nn.Module):
    """What the trainer and the sampler both call.

    Args:
        unet: Stable Diffusion 2's, with input channels for latents, mask and masked latents, and the DINO adapter.
        controlnet: of the unchanged base, for depth maps.
        scheduler: the noise schedule and prediction type that the network is trained for, saved beside it.
    """

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel, scheduler: SchedulerMixin) -> None:
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet
        self.scheduler = scheduler

    @classmethod
    def from_base(
        cls, unet: UNet2DConditionModel, dino_dim: int, scheduler: SchedulerMixin, vae_scale_factor: int = 8
    ) -> Self:
        """Where training starts: a network that computes what the base computes, whatever its new inputs are.

        Args:
            unet: the base, text-conditioned; it is changed in place.
            scheduler: the base's, of any class; its `prediction_type` stays.
            vae_scale_factor: pixels per latent, a power of 2 up to 8.

        Raises ValueError where the UNet already projects its conditions.
        """
        levels = vae_scale_factor.bit_length()  # the first works on pixels
        controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=CONDITION_CHANNELS[:levels])
        controlnet.to(unet.conv_in.weight)
        _widen_input(unet)
        add_dino_adapter(unet, dino_dim)
        return cls(unet, controlnet, DDIMScheduler.from_config(scheduler.config, clip_sample=False))

    @property
    def dino_scale(self) -> float:
        """Lambda, the weight of the DINO tokens' cross-attention: 1 in training; at inference 0.7 to 1 (ours)."""
        return next(iter(adapters(self.unet).values())).scale[0]

    @dino_scale.setter
    def dino_scale(self, scale: float) -> None:
        for processor in adapters(self.unet).values():
            processor.scale = [scale]

    @contextmanager
    def scaled(self, dino_scale: float) -> Iterator[None]:
        """With another lambda meanwhile: a network in training goes on at its own."""
        before = self.dino_scale
        self.dino_scale = dino_scale
        try:
            yield
        finally:
            self.dino_scale = before

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor,
        tokens: Tensor,
        mask: Tensor,
        masked_latents: Tensor,
        depth: Tensor,
    ) -> Tensor:
        """Predict noise or velocity, as the scheduler's `prediction_type` says.

        Args:
            latents: (b, c, h, w) noisy latents of the target, scaled.
            timestep: int, () or (b,).
            encoder_hidden_states: (b, n, d) of the prompt.
            tokens: (b, 1 + n, dino_dim) of the input image, CLS first. All zeros is the null condition.
            mask: (b, 1, h, w), 1 where the image is repainted; all 1 in generation pairs.
            masked_latents: (b, c, h, w) of the input image, black inside the mask; all black in generation pairs.
            depth: (b, 3, H, W) or (b, 1, H, W) in 0..1 in pixels, 1 = nearest: the target's; or CONSTANT_DEPTH.

        Returns:
            (b, c, h, w).

        Raises ValueError where there are not as many token sequences as latents: IP-Adapter's attention would
        silently mix the samples.
        """
        if len(tokens) != len(latents):
            raise ValueError(f"{len(tokens)} sequences of DINO tokens for {len(latents)} latents")
        dtype = self.unet.dtype
        latents, text = latents.to(dtype), encoder_hidden_states.to(dtype)
        down, middle = self.controlnet(
            latents,
            timestep,
            encoder_hidden_states=text,
            controlnet_cond=depth.to(dtype).expand(-1, 3, -1, -1),
            return_dict=False,
        )
        return self.unet(
            torch.cat([latents, mask.to(dtype), masked_latents.to(dtype)], 1),
            timestep,
            encoder_hidden_states=text,
            added_cond_kwargs={"image_embeds": [tokens.to(dtype).unsqueeze(1)]},
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass: less memory, about a third more time."""
        self.unet.enable_gradient_checkpointing()
        self.controlnet.enable_gradient_checkpointing()

    def save(self, folder: Path, vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> None:
        """Write a `StableDiffusionControlNetInpaintPipeline`, and the adapter as its `load_ip_adapter` reads it.

        The pipeline takes latents of four channels alone. For others `unet`, `controlnet` and `scheduler` are written
        as their own stock classes read them, and none of the frozen networks.
        """
        unet = without_adapter(self.unet)
        if unet.config.out_channels == STOCK_LATENT_CHANNELS:
            StableDiffusionControlNetInpaintPipeline(
                vae=vae,
                text_encoder=text_encoder,
                tokenizer=tokenizer,
                unet=unet,
                controlnet=self.controlnet,
                scheduler=self.scheduler,
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            ).save_pretrained(folder)
        else:
            unet.save_pretrained(folder / UNET_FOLDER)
            self.controlnet.save_pretrained(folder / CONTROLNET_FOLDER)
            self.scheduler.save_pretrained(folder / SCHEDULER_FOLDER)
        save_file(adapter_state(self.unet), folder / ADAPTER_FILE)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Self:
        """Read what `save` wrote, in eval mode. Raises ConfigError where a part is missing or broken."""
        unet = load_pretrained(UNet2DConditionModel, folder / UNET_FOLDER, dtype=dtype, local_files_only=True)
        with loading_from(folder):
            load_adapter_state(unet, load_file(folder / ADAPTER_FILE))
        controlnet = load_pretrained(ControlNetModel, folder / CONTROLNET_FOLDER, dtype=dtype, local_files_only=True)
        scheduler = load_pretrained(DDIMScheduler, folder / SCHEDULER_FOLDER, local_files_only=True)
        return cls(unet, controlnet, scheduler).eval()


def _widen_input(unet: UNet2DConditionModel) -> None:
    """Zero-pad `conv_in` from latents to latents, mask and masked latents."""
    base = unet.conv_in
    num_channels = 2 * base.in_channels + 1
    wide = nn.Conv2d(num_channels, base.out_channels, base.kernel_size, padding=base.padding)
    wide.weight = nn.Parameter(F.pad(base.weight.detach(), (0, 0, 0, 0, 0, num_channels - base.in_channels)))
    wide.bias = base.bias
    unet.conv_in = wide
    unet.register_to_config(in_channels=num_channels)
