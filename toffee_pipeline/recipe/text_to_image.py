"""Trains the nano text to image: SDXL's classes on photos of the small world and their captions."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.loading import computes_bfloat16
from toffee_pipeline.models.tiny.architectures import PATCH_PX, SIZE_PX, build_sdxl_unet
from toffee_pipeline.models.tiny.sdxl import assemble, build_scheduler, load_unet
from toffee_pipeline.nano.world_samples import NUM_HELD_OUT
from toffee_pipeline.recipe.data import load_data
from toffee_pipeline.recipe.loop import fit
from toffee_pipeline.train.losses import diffusion_loss

UNCONDITIONAL = 0.1
"""Share of samples without their caption, for guidance; as the pipeline does it, with zeros."""
SUBJECT_WEIGHT = 3.0
EVALUATED_LOSSES, NUM_PARTS = 256, 8
TIME_IDS = (SIZE_PX, SIZE_PX, 0, 0, SIZE_PX, SIZE_PX)
"""SDXL's original size, crop and target size."""


class Latents:
    """The photos as the diffusion models see them, on the pipeline's device.

    latents: float16 (n, 8, 16, 16), scaled; the last NUM_HELD_OUT are held out. captions: n strings.
    """

    def __init__(self, work_dir: Path, pipeline: StableDiffusionXLPipeline, photos: str = "photos") -> None:
        data, self.device = load_data(work_dir, photos), pipeline.device
        self.captions = list(chain.from_iterable(data.captions))
        self.subject = F.avg_pool2d(torch.from_numpy(data.mask[:, 0]).float(), PATCH_PX).half().to(self.device)
        path = work_dir / photos / "latents.npy"
        if not path.exists():
            autoencoder = Autoencoder(pipeline.vae)
            fast = computes_bfloat16(self.device)  # a third of the time, and below the VAE's own error
            with torch.autocast(self.device.type, torch.bfloat16, enabled=fast):
                part = 512 if self.device.type == "cuda" else 16
                parts = np.array_split(data.rgb[:, 0], -(-len(data.rgb) // part))
                encoded = [autoencoder.encode(list(part)).half().cpu().numpy() for part in parts]
            np.save(path, np.concatenate(encoded))
        self.latents = torch.from_numpy(np.load(path)).to(self.device)
        if len(self.latents) != len(data.rgb):
            raise ValueError(f"{path} holds {len(self.latents)} photos, not {len(data.rgb)}: remove it")
        self._encode(pipeline)

    def _encode(self, pipeline: StableDiffusionXLPipeline) -> None:
        """What the pipeline would hand the UNet for each different caption."""
        distinct, caption_of = np.unique(self.captions, return_inverse=True)
        self._caption_of = torch.from_numpy(caption_of).to(self.device)
        states, pooled = [], []
        with torch.inference_mode():
            for start in range(0, len(distinct), 500):
                prompts = [str(caption) for caption in distinct[start : start + 500]]
                encoded = pipeline.encode_prompt(prompts, device=self.device, do_classifier_free_guidance=False)
                states.append(encoded[0].half())
                pooled.append(encoded[2].half())
        self._states, self._pooled = torch.cat(states).clone(), torch.cat(pooled).clone()

    @property
    def num_train(self) -> int:
        return len(self.latents) - NUM_HELD_OUT

    def batch(self, ids: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (b, 8, 16, 16), text states (b, 24, 256) and pooled text (b, 128), float32."""
        rows = torch.from_numpy(ids).to(self.device)
        which = self._caption_of[rows]
        return self.latents[rows].float(), self._states[which].float(), self._pooled[which].float()

    def region_weight(self, ids: np.ndarray) -> Tensor:
        """The loss's weight of each latent, (b, 1, 16, 16): more where the subject is, the smaller and harder part."""
        weight = 1 + SUBJECT_WEIGHT * self.subject[torch.from_numpy(ids).to(self.device)].float()
        return (weight / weight.mean())[:, None]


def conditions(pooled: Tensor) -> dict[str, Tensor]:
    """`added_cond_kwargs` of SDXL's UNet."""
    return {"text_embeds": pooled, "time_ids": torch.tensor(TIME_IDS).to(pooled).expand(len(pooled), -1)}


def text_to_image_loss(unet: nn.Module, data: Latents, ids: np.ndarray, seed: int, dropped: float) -> Tensor:
    latents, states, pooled = data.batch(ids)
    generator = torch.Generator(latents.device).manual_seed(seed)
    kept = (torch.rand(len(latents), generator=generator, device=latents.device) >= dropped).to(latents)
    states, added = states * kept[:, None, None], conditions(pooled * kept[:, None])

    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        return unet(noisy, timesteps, encoder_hidden_states=states, added_cond_kwargs=added, return_dict=False)[0]

    return diffusion_loss(predict, build_scheduler(), latents, generator, region_weight=data.region_weight(ids))


def train_text_to_image(
    work_dir: Path, weights_dir: Path, steps: int, told_steps: int, batch_size: int, device: torch.device
) -> None:
    """Writes `weights_dir/sdxl`, half precision: the UNet and its scheduler.

    steps: on the photos, from scratch; 0 starts from the weights that are there. told_steps: then on the told photos,
    whose captions are as drafts have them: colours, patterns and additions are named as often as classes and places.
    """
    unet = (build_sdxl_unet() if steps else load_unet(weights_dir / "sdxl")).to(device)
    if steps:
        _train(unet, "text_to_image", work_dir, "photos", steps, batch_size, 1e-3)
    if told_steps:
        _train(unet, "text_to_image_told", work_dir, "told_photos", told_steps, batch_size, 5e-4)
    unet.half().save_pretrained(weights_dir / "sdxl" / "unet")
    build_scheduler().save_pretrained(weights_dir / "sdxl" / "scheduler")


def _train(
    unet: UNet2DConditionModel, name: str, work_dir: Path, photos: str, steps: int, batch_size: int, peak_lr: float
) -> None:
    """Trains the UNet in place."""
    unet.requires_grad_(True)
    if unet.device.type == "cuda":  # a CPU would compile for longer than it gains
        unet.compile(dynamic=False)
    data = Latents(work_dir, assemble(unet, build_scheduler()).to(unet.device), photos)
    held_out = np.arange(data.num_train, len(data.latents))

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = rng.integers(data.num_train, size=batch_size)
        return text_to_image_loss(unet, data, ids, int(rng.integers(2**62)), UNCONDITIONAL), {}

    def evaluate(model: UNet2DConditionModel) -> dict[str, float]:
        rows = np.resize(held_out, EVALUATED_LOSSES)
        losses = [
            text_to_image_loss(model, data, part, seed, 0.0) for seed, part in enumerate(np.split(rows, NUM_PARTS))
        ]
        return {"held_out_loss": torch.stack(losses).mean().item()}

    fit(
        name,
        unet,
        loss_fn,
        steps=steps,
        peak_lr=peak_lr,
        work_dir=work_dir,
        ema_decay=0.999,
        evaluate=evaluate,
        evaluate_every=500,
    )
