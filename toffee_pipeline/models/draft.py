"""Drafts: the pair's prompt on the subject's layout (paper section 3.1); of an edit pair in the subject's picture."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionXLPipeline
from torch import Tensor

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.stages import DraftConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.blended import latent_mask
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.prompts import count_tokens, too_long
from toffee_pipeline.models.sampling import Blend, Predict, denoise, initial_noise, make_scheduler
from toffee_pipeline.models.sdxl import load_sdxl
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject


class ControlNetDraft:
    """SDXL with a depth ControlNet (ours: the paper names no base model), denoised by the project's own loop: the stock
    inpainting pipelines take 4 or 9 latent channels only, and start every sample of a batch alike."""

    def __init__(
        self, sdxl: ModelSpec, controlnet: ModelSpec, settings: DraftConfig, size_px: int, device: torch.device
    ) -> None:
        self.device, self.settings, self.size_px = device, settings, size_px
        components, self.autoencoder = load_sdxl(sdxl, device)
        self.pipeline = StableDiffusionXLPipeline(**components, add_watermarker=False)
        self.unet, self.scheduler_config = self.pipeline.unet, self.pipeline.scheduler.config
        self.controlnet = load_model(ControlNetModel, controlnet, "controlnet", device)

    def with_settings(self, settings: DraftConfig) -> ControlNetDraft:
        """The same networks, sampled in another way."""
        other = copy.copy(self)
        other.settings = settings
        return other

    @torch.inference_mode()
    def draft(
        self,
        pairs: Sequence[Pair],
        subjects: Sequence[Subject],
        depths: Sequence[np.ndarray],
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray | None],
    ) -> list[np.ndarray | SampleError]:
        """One image per pair from its draft prompt, its seed and its subject's depth.

        Where there is an editing mask, blended latent diffusion paints inside it alone, from the subject's image noised
        to the category's strength; what is outside is kept at every step, but for what the VAE loses.

        Args:
            subjects: each pair's subject; not used, the renderer's stand-in needs them.
            depths: float32 (size_px, size_px) in 0..1 each, 1 = nearest.
            images: of the subjects, uint8 (size_px, size_px, 3) each.
            masks: bool (size_px, size_px) each; None for a generation pair, whose whole picture is drawn.

        Returns:
            uint8 (size_px, size_px, 3) each, or in its place a SampleError: the prompt does not fit the text encoder.

        Raises ValueError where the pairs' strengths differ.
        """
        strengths = {self.settings.strength_of(pair.edited) for pair in pairs}
        if len(strengths) > 1:
            raise ValueError(f"drafts of strengths {sorted(strengths)} in one batch: they take different steps")
        side = self.size_px // self.autoencoder.scale_factor
        noise = initial_noise((self.unet.config.in_channels, side, side), [pair.seed for pair in pairs], self.device)
        blend = None
        if any(mask is not None for mask in masks):
            everywhere = np.ones((self.size_px, self.size_px), bool)
            areas = [everywhere if mask is None else mask for mask in masks]
            area = latent_mask(areas, self.autoencoder.scale_factor, self.device)
            blend = Blend(self.autoencoder.encode(images), area, noise)
        (strength,) = strengths
        latents = denoise(
            self._predict(pairs, depths),
            make_scheduler(self.settings.sampling, self.scheduler_config),
            noise,
            self.settings.sampling.num_inference_steps,
            init_latents=blend.latents if blend is not None and strength < 1 else None,
            strength=strength,
            blend=blend,
        )
        drawn = to_images(self.autoencoder.decode(latents))
        # drawn with the others all the same: they depend on the micro-batch's size
        prompts = [pair.draft_prompt for pair in pairs]
        counts, limit = count_tokens(self.pipeline.tokenizer, prompts), self.pipeline.tokenizer.model_max_length
        return [
            SampleError(too_long(prompt, count, limit)) if count > limit else image
            for prompt, count, image in zip(prompts, counts, drawn, strict=True)
        ]

    def _predict(self, pairs: Sequence[Pair], depths: Sequence[np.ndarray]) -> Predict:
        """UNet and ControlNet under classifier-free guidance, with SDXL's conditions: the empty prompt's come first."""
        guidance_scale = self.settings.sampling.guidance_scale
        copies = 2 if guidance_scale > 1 else 1
        text, no_text, pooled, no_pooled = self.pipeline.encode_prompt(
            [pair.draft_prompt for pair in pairs], device=self.device, do_classifier_free_guidance=copies == 2
        )
        dtype = text.dtype
        layout = torch.from_numpy(np.stack(depths)).to(self.device, dtype)[:, None].expand(-1, 3, -1, -1)
        scales = torch.tensor([self.settings.scale_of(pair.edited) for pair in pairs], device=self.device, dtype=dtype)
        size_and_crop = torch.tensor([self.size_px, self.size_px, 0, 0, self.size_px, self.size_px])
        added = {
            "text_embeds": pooled if copies == 1 else torch.cat([no_pooled, pooled]),
            "time_ids": size_and_crop.to(self.device, dtype).expand(copies * len(pairs), -1),
        }
        prompts = text if copies == 1 else torch.cat([no_text, text])
        layouts, scale = layout.repeat(copies, 1, 1, 1), scales.repeat(copies)[:, None, None, None]

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            noisy = latents.to(dtype).repeat(copies, 1, 1, 1)
            shared = {"encoder_hidden_states": prompts, "added_cond_kwargs": added, "return_dict": False}
            down, middle = self.controlnet(noisy, timestep, controlnet_cond=layouts, conditioning_scale=scale, **shared)
            prediction = self.unet(
                noisy,
                timestep,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
                **shared,
            )[0].float()
            if copies == 1:
                return prediction
            unguided, conditioned = prediction.chunk(2)
            return unguided + guidance_scale * (conditioned - unguided)

        return predict
