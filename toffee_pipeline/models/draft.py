"""Drafts: the pair's prompt on the subject's layout (paper section 3.1); of an edit pair in the subject's picture."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionXLPipeline
from torch import Tensor

from toffee_pipeline.config.base import Category, DistilledSpec, ModelSpec, VaeSpec
from toffee_pipeline.config.stages import DraftConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.blended import latent_mask
from toffee_pipeline.models.draft_steps import kinds_of_steps, plan_steps
from toffee_pipeline.models.flow_edit import flow_edit
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.prompts import count_tokens, too_long
from toffee_pipeline.models.sampling import (
    Blend,
    Predict,
    denoise,
    generators,
    initial_noise,
    make_scheduler,
    num_steps_from,
)
from toffee_pipeline.models.sdxl import PromptEncoder, load_sdxl
from toffee_pipeline.models.speed import denoising, in_few_steps, sped_up, without_memory
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject


def zeros(residual: Tensor, count: int) -> Tensor:
    """Zeros for `count` samples, the residual's or twice as many, in its memory format."""
    some = torch.zeros_like(residual[:count])
    return some if len(some) == count else torch.cat([some, some])


class ControlNetDraft:
    """SDXL with a depth ControlNet (ours: the paper names no base model), denoised by the project's own loop: the stock
    inpainting pipelines take 4 or 9 latent channels only, and start every sample of a batch alike."""

    def __init__(
        self,
        sdxl: ModelSpec,
        vae: VaeSpec | None,
        unet: DistilledSpec | None,
        controlnet: ModelSpec,
        settings: DraftConfig,
        size_px: int,
        device: torch.device,
    ) -> None:
        self.device, self.settings, self.size_px = device, settings, size_px
        self.speed = settings.speed
        components, self.autoencoder = load_sdxl(sdxl, vae, unet, self.speed, device)
        self.pipeline = StableDiffusionXLPipeline(**components, add_watermarker=False)
        self.unet, self.scheduler_config = self.pipeline.unet, self.pipeline.scheduler.config
        self.encode_prompts = PromptEncoder(self.pipeline, device)
        self.controlnet = sped_up(load_model(ControlNetModel, controlnet, "controlnet", device), self.speed)

    def with_settings(self, settings: DraftConfig) -> ControlNetDraft:
        """The same networks, at the same speed, sampled in another way."""
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
        to the category's strength, or `flow_edit` moves the image there; what is outside is kept at every step, but for
        what the VAE loses.

        Args:
            subjects: each pair's subject, whose prompt says what the image shows.
            depths: float32 (size_px, size_px) in 0..1 each, 1 = nearest.
            images: of the subjects, uint8 (size_px, size_px, 3) each.
            masks: bool (size_px, size_px) each; None for a generation pair, whose whole picture is drawn.

        Returns:
            uint8 (size_px, size_px, 3) each, or in its place a SampleError: the prompt does not fit the text encoder.

        Raises ValueError where the pairs differ in how they start.
        """
        starts = {self.settings.start_of(pair.edited) for pair in pairs}
        if len(starts) > 1:
            raise ValueError(f"drafts that start at {sorted(starts)} in one batch: they take different steps")
        ((strength, source_guidance_scale),) = starts
        side = self.size_px // self.autoencoder.scale_factor
        sources = generators([pair.seed for pair in pairs])
        noise = initial_noise((self.unet.config.in_channels, side, side), sources, self.device)
        blend = None
        if any(mask is not None for mask in masks):
            everywhere = np.ones((self.size_px, self.size_px), bool)
            areas = [everywhere if mask is None else mask for mask in masks]
            area = latent_mask(areas, self.autoencoder.scale_factor, self.device)
            blend = Blend(self.autoencoder.encode(images), area, noise)
        sampling, from_picture = self.settings.sampling, blend is not None and strength < 1
        steps = sampling.num_inference_steps
        num_steps = num_steps_from(strength, steps) if from_picture else steps
        prompts, edited = [pair.draft_prompt for pair in pairs], [pair.edited for pair in pairs]
        moves = from_picture and source_guidance_scale > 0
        predict = self._predict(prompts, edited, depths, num_steps, sampling.guidance_scale, moves)
        with denoising(self.unet, self.speed):
            if blend is not None and moves:
                shown = [subject.prompt for subject in subjects]
                as_it_is = self._predict(shown, edited, depths, num_steps, source_guidance_scale, moves)
                before, after = (without_memory(self.unet, self.speed, each) for each in (as_it_is, predict))
                latents = flow_edit(
                    before, after, self.scheduler_config, blend.latents, sources, steps, strength, blend.mask
                )
            else:
                latents = denoise(
                    predict,
                    make_scheduler(sampling, self.scheduler_config),
                    noise,
                    steps,
                    sources=sources,
                    init_latents=blend.latents if blend is not None and from_picture else None,
                    strength=strength,
                    blend=blend,
                )
        drawn = to_images(self.autoencoder.decode(latents))
        # drawn with the others all the same: they depend on the micro-batch's size
        counts, limit = count_tokens(self.pipeline.tokenizer, prompts), self.pipeline.tokenizer.model_max_length
        return [
            SampleError(too_long(prompt, count, limit)) if count > limit else image
            for prompt, count, image in zip(prompts, counts, drawn, strict=True)
        ]

    def warm_up(self, batch_size: int, size_px: int) -> None:
        """As `Compilable` has it."""
        settings, knows_guidance = self.settings, self.unet.config.time_cond_proj_dim is not None
        steps = kinds_of_steps(settings, knows_guidance)
        guided = {step.guided for step in steps}
        few = {
            "sampling": in_few_steps(settings.sampling),
            "guidance_interval": (0.0, sum(guided) / len(guided)),  # none, the first or both of two steps
            "control_guidance_end": float(any(step.controlled for step in steps)),
        }
        pair = Pair("", "", "generation", "background", "", "", "", seed=0)
        depth = np.zeros((self.size_px, self.size_px), np.float32)
        blank = np.zeros((self.size_px, self.size_px, 3), np.uint8)
        self.with_settings(settings.model_copy(update=few)).draft(
            [pair] * batch_size, [], [depth] * batch_size, [blank] * batch_size, [None] * batch_size
        )

    def _predict(
        self,
        words: Sequence[str],
        edited: Sequence[Category | None],
        depths: Sequence[np.ndarray],
        num_steps: int,
        guidance_scale: float,
        moves: bool,
    ) -> Predict:
        """UNet and ControlNet under classifier-free guidance, for a run of `num_steps` calls. moves: see
        `plan_steps`."""
        prompts = self.encode_prompts(words)
        dtype, count = prompts.text.dtype, len(words)
        size_and_crop = torch.tensor([self.size_px, self.size_px, 0, 0, self.size_px, self.size_px])
        # the empty prompt's come first: the last `count` rows of each are what a step without guidance takes
        text, pooled = torch.cat([prompts.no_text, prompts.text]), torch.cat([prompts.no_pooled, prompts.pooled])
        time_ids = size_and_crop.to(self.device, dtype).expand(2 * count, -1)
        layouts = torch.from_numpy(np.stack(depths)).to(self.device, dtype)[:, None].expand(-1, 3, -1, -1)
        layouts = layouts.repeat(2, 1, 1, 1)
        scales = torch.tensor(
            [self.settings.scale_of(category) for category in edited], device=self.device, dtype=dtype
        )
        scales = scales.repeat(2)[:, None, None, None]
        scale_dim, scale_condition = self.unet.config.time_cond_proj_dim, None
        if scale_dim is not None:  # LCM's
            each = torch.full((count,), guidance_scale - 1, device=self.device)
            scale_condition = self.pipeline.get_guidance_scale_embedding(each, scale_dim, dtype)
        steps = iter(plan_steps(self.settings, num_steps, guidance_scale > 1 and scale_dim is None, moves))
        residuals: list[Tensor] = []

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            nonlocal residuals
            step = next(steps)
            rows = slice(None) if step.guided else slice(count, None)
            noisy = latents.to(dtype).repeat(2 if step.guided else 1, 1, 1, 1)
            shared = {
                "encoder_hidden_states": text[rows],
                "added_cond_kwargs": {"text_embeds": pooled[rows], "time_ids": time_ids[rows]},
                "return_dict": False,
            }
            if step.controlled:
                down, middle = self.controlnet(
                    noisy, timestep, controlnet_cond=layouts[rows], conditioning_scale=scales[rows], **shared
                )
                residuals = [*down, middle]
            else:  # zeros and not None, which would be one more graph to compile
                residuals = [zeros(each, len(noisy)) for each in residuals]
            prediction = self.unet(
                noisy,
                timestep,
                timestep_cond=scale_condition,
                down_block_additional_residuals=tuple(residuals[:-1]) or None,
                mid_block_additional_residual=residuals[-1] if residuals else None,
                **shared,
            )[0].float()
            if not step.guided:
                return prediction
            unguided, conditioned = prediction.chunk(2)
            return unguided + guidance_scale * (conditioned - unguided)

        return predict
