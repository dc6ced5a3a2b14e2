"""Images per second of the draft and the refine stage over the usual loop with diffusers' pipelines, at real size.

    python -m benchmarks.sdxl_stage --json sdxl_stage.json

Ours: the stages `draft` and `refine` of the sdxl profile over one shard, with its micro-batches, steps, guidance and
dtypes; PNG coding inside. The usual loop: `StableDiffusionXLControlNetPipeline`, then DINO tokens and
`StableDiffusionXLImg2ImgPipeline`, in half precision, one image at a time, each read from and saved as PNG as Pillow
does by default. Both sides compute with the same networks (random weights), schedulers, numbers of steps and guidance.

    ratio = images per second of the stages / images per second of the loop
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from PIL import Image

from actors.shard import Shard
from actors.stage import Stage
from actors.stages.draft import Draft
from actors.stages.refine import Refine
from benchmarks.real_size import (
    common_options,
    filled_shard,
    run_config,
    run_stage,
    set_up,
)
from benchmarks.record import Record
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.draft import ControlNetDraft
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.network_clock import now
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.tiny import architectures


class UsualLoop:
    """One image after the other through the stock pipelines, over the networks of `models`."""

    def __init__(self, config: RunConfig, models: ModelSet, folder: Path) -> None:
        self.config, self.models, self.folder = config, models, folder
        draft = models.draft
        assert isinstance(draft, ControlNetDraft)
        scheduler = DPMSolverMultistepScheduler.from_config(draft.scheduler_config, use_karras_sigmas=True)
        parts = {**draft.pipeline.components, "vae": self._vae(draft.unet.dtype), "scheduler": scheduler}
        self.drafts = StableDiffusionXLControlNetPipeline(**parts, controlnet=draft.controlnet, add_watermarker=False)
        refiner = models.refiner.network
        self.targets = StableDiffusionXLImg2ImgPipeline(
            vae=self._vae(refiner.unet.dtype),
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            unet=refiner.unet,
            scheduler=DPMSolverMultistepScheduler.from_config(refiner.scheduler.config, use_karras_sigmas=True),
            add_watermarker=False,
        )
        for pipeline in (self.drafts, self.targets):
            pipeline.set_progress_bar_config(disable=True)

    def _vae(self, dtype: torch.dtype) -> AutoencoderKL:
        """One of its own, in the pipeline's dtype."""
        return load_model(AutoencoderKL, self.config.models.sdxl, "vae", self.models.device, "vae", dtype)

    def draft(self, shard: Shard, steps: int) -> None:
        settings = self.config.stages.draft
        for state in shard.pairs:
            depth = shard.subject_of(state).inverse_depth()
            drawn = self.drafts(
                state.pair.draft_prompt,
                image=Image.fromarray((depth * 255).astype(np.uint8)).convert("RGB"),
                num_inference_steps=steps,
                guidance_scale=settings.sampling.guidance_scale,
                controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
                height=self.config.size_px,
                width=self.config.size_px,
                generator=torch.Generator(self.models.device).manual_seed(state.pair.seed),
            ).images[0]
            drawn.save(self.folder / f"{state.id}.png")

    @torch.inference_mode()
    def refine(self, shard: Shard, steps: int) -> None:
        settings = self.config.stages.refine
        for state in shard.pairs:
            drawn = Image.open(self.folder / f"{state.id}.png").convert("RGB")
            tokens, subject = self.models.dino.encode([np.asarray(drawn), shard.subject_of(state).rgb()])
            mixed = self.models.dino.encode_mixed(
                [np.asarray(drawn)],
                [subject.cpu().numpy()],
                [settings.a],
                settings.g,
                matching_radius=settings.matching_radius,
            ).to(self.targets.unet.dtype)
            pooled = mixed.new_zeros(1, self.models.refiner.network.pooled_dim)
            self.targets(
                prompt_embeds=mixed,
                negative_prompt_embeds=torch.zeros_like(mixed),
                pooled_prompt_embeds=pooled,
                negative_pooled_prompt_embeds=pooled,
                image=drawn,
                strength=settings.strength,
                num_inference_steps=steps,
                guidance_scale=settings.sampling.guidance_scale,
                generator=torch.Generator(self.models.device).manual_seed(state.pair.seed),
            ).images[0].save(self.folder / f"{state.id}_target.png")


def load_models(config: RunConfig, tiny: bool) -> ModelSet:
    """Draft, DINO and Refiner."""
    models = ModelSet(config)
    _ = models.draft, models.dino, models.refiner
    if tiny:  # the stock pipeline knows no token map
        unet = architectures.build_refiner_unet(token_map=False).to(models.device)
        scheduler = models.refiner.network.scheduler
        models.refiner.network = RefinerNetwork(unet, None, scheduler, architectures.PATCH_PX).eval()
    return models


def seconds(device: torch.device, work: Callable[[Shard, int], None], shard: Shard, steps: int) -> float:
    began = now(device)
    work(shard, steps)
    return now(device) - began


@click.command(help=__doc__)
@common_options
@click.option("--images", default=8, show_default=True, help="Timed images of each stage of ours.")
@click.option("--loop-images", default=3, show_default=True, help="Timed images of each pipeline of the usual loop.")
@click.option("--steps", default=25, show_default=True, help="Denoising steps of both sides.")
def main(device: str, tiny: bool, path: Path | None, images: int, loop_images: int, steps: int) -> None:
    on = set_up(device)
    stages: dict[str, type[Stage]] = {"draft": Draft, "refine": Refine}
    config = run_config(tiny, device, images, stages.values(), steps)
    record = Record("sdxl_stage", path, on)
    began = now(on)
    models = load_models(config, tiny)
    record.add(
        build_s=now(on) - began,
        size_px=config.size_px,
        steps=steps,
        refine_strength=config.stages.refine.strength,
        micro_batch=config.stages.draft.batch_size,
    )
    first, shard = (filled_shard(config.with_count(count)) for count in (1, images))
    ours: dict[str, float] = {}
    for name, stage in stages.items():
        run_stage(stage, models, first)  # padded to a whole micro-batch: every shape has been seen
        ours[name] = run_stage(stage, models, shard) / images
        record.add(**{f"{name}_stage_s_per_image": ours[name]})
    usual = filled_shard(config.with_count(loop_images))
    with tempfile.TemporaryDirectory() as folder:
        loop = UsualLoop(config, models, Path(folder))
        works = {"draft": loop.draft, "refine": loop.refine}
        for name, work in works.items():
            seconds(on, work, first, max(2, steps // 5))
            theirs = seconds(on, work, usual, steps) / loop_images
            record.add(**{f"{name}_loop_s_per_image": theirs, f"{name}_ratio": theirs / ours[name]})
    total = sum(record.found[f"{name}_loop_s_per_image"] for name in stages)
    record.add(
        images_per_s=2 / sum(ours.values()),
        loop_images_per_s=2 / total,
        ratio=total / sum(ours.values()),
        conditions=f"{config.size_px} px, {images} images against {loop_images}, {steps} steps, random weights",
    )


if __name__ == "__main__":
    main()
