"""Drafts: the pair's prompt on the subject's layout (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionXLControlNetPipeline

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.stages import DraftConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.prompts import count_tokens, too_long
from toffee_pipeline.models.sampling import generators, make_scheduler
from toffee_pipeline.models.sdxl import load_sdxl
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.schema import Pair, Subject


class ControlNetDraft:
    """SDXL with a depth ControlNet, by the stock pipeline (ours: the paper names no base model)."""

    def __init__(
        self, sdxl: ModelSpec, controlnet: ModelSpec, settings: DraftConfig, size_px: int, device: torch.device
    ) -> None:
        self.device, self.settings, self.size_px = device, settings, size_px
        components, self.autoencoder = load_sdxl(sdxl, device)
        network = load_model(ControlNetModel, controlnet, "controlnet", device)
        self.pipeline = StableDiffusionXLControlNetPipeline(**components, controlnet=network, add_watermarker=False)
        self.pipeline.set_progress_bar_config(disable=True)
        self.scheduler_config = self.pipeline.scheduler.config

    @torch.inference_mode()
    def draft(
        self, pairs: Sequence[Pair], subjects: Sequence[Subject], depths: Sequence[np.ndarray]
    ) -> list[np.ndarray | SampleError]:
        """One image per pair from its prompt, its seed and its subject's depth.

        Args:
            subjects: each pair's subject; not used, the renderer's stand-in needs them.
            depths: float32 (size_px, size_px) in 0..1 each, 1 = nearest.

        Returns:
            uint8 (size_px, size_px, 3) each, or in its place a SampleError: the prompt does not fit the text encoder.
        """
        self.pipeline.scheduler = make_scheduler(self.settings.sampling, self.scheduler_config)
        prompts = [pair.prompt for pair in pairs]
        layout = torch.from_numpy(np.stack(depths)).to(self.device)[:, None].expand(-1, 3, -1, -1)
        latents = self.pipeline(
            prompt=prompts,
            image=layout,
            height=self.size_px,
            width=self.size_px,
            num_inference_steps=self.settings.sampling.num_inference_steps,
            guidance_scale=self.settings.sampling.guidance_scale,
            controlnet_conditioning_scale=self.settings.controlnet_conditioning_scale,
            generator=generators([pair.seed for pair in pairs]),
            output_type="latent",
        ).images
        images = to_images(self.autoencoder.decode(latents))
        # drawn with the others all the same: they depend on the micro-batch's size
        counts, limit = count_tokens(self.pipeline.tokenizer, prompts), self.pipeline.tokenizer.model_max_length
        return [
            SampleError(too_long(prompt, count, limit)) if count > limit else image
            for prompt, count, image in zip(prompts, counts, images, strict=True)
        ]
