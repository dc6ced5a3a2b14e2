"""Trains the nano depth ControlNet on the frozen nano text to image."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionXLPipeline
from torch import Tensor

from toffee_pipeline.models.tiny.architectures import SIZE_PX, build_controlnet
from toffee_pipeline.models.tiny.sdxl import build_scheduler, load_sdxl, take_over
from toffee_pipeline.models.weights import load_pretrained
from toffee_pipeline.nano import world
from toffee_pipeline.recipe.data import SETS, load_data
from toffee_pipeline.recipe.loop import fit
from toffee_pipeline.recipe.text_to_image import EVALUATED_LOSSES, NUM_PARTS, UNCONDITIONAL, Latents, conditions
from toffee_pipeline.train.losses import diffusion_loss
from toffee_pipeline.train.trainer import use_unfused_attention

OTHER_PLACE = 0.5
"""Share of samples whose layout shows the subject in another place than the picture: a draft keeps the subject's layout
and changes its place."""


def stretched(inverse_depth: Tensor) -> Tensor:
    """(b, 64, 64) to 0..1 in each image, as `DepthEstimator` gives it."""
    low, high = inverse_depth.amin((1, 2), keepdim=True), inverse_depth.amax((1, 2), keepdim=True)
    return (inverse_depth - low) / (high - low).clamp(min=1e-6)


def other_places(work_dir: Path, photos: str, inverse_depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The layouts of a set of photos with each subject moved to another place: float16 (n, 64, 64)."""
    path = work_dir / photos / "other_places.npy"
    if not path.exists():
        with multiprocessing.get_context("spawn").Pool() as pool:
            empty = pool.map(partial(_other_place, photos), range(len(mask)), chunksize=250)
        np.save(path, np.where(mask, inverse_depth, np.stack(empty)))
    return np.load(path)


def _other_place(photos: str, index: int) -> np.ndarray:
    """The inverse depth of a place without the photo's subject, from where the photo was taken."""
    (photo,) = SETS[photos][0](index)
    place = str(np.random.default_rng(index).choice(world.BACKGROUNDS))
    return world.place_inverse_depth(photo.subject, photo.view, place, SIZE_PX).astype(np.float16)


def train_controlnet(
    work_dir: Path, weights_dir: Path, steps: int, told_steps: int, batch_size: int, device: torch.device
) -> None:
    """Writes `weights_dir/controlnet`, half precision, for the text to image in `weights_dir/sdxl`.

    steps: on the photos, from a copy of the UNet; 0 starts from the weights that are there. told_steps: then on the
    told photos, as text to image.
    """
    pipeline = load_sdxl(weights_dir / "sdxl").to(device)
    if steps:
        controlnet = build_controlnet()
        take_over(controlnet, pipeline.unet)
        _train(controlnet.to(device), pipeline, "controlnet", work_dir, "photos", steps, batch_size, 1e-3)
    else:
        controlnet = load_pretrained(ControlNetModel, weights_dir / "controlnet", local_files_only=True).float()
    if told_steps:
        told = "told_photos"
        _train(controlnet.to(device), pipeline, "controlnet_told", work_dir, told, told_steps, batch_size, 5e-4)
    controlnet.half().save_pretrained(weights_dir / "controlnet")


def _train(
    controlnet: ControlNetModel,
    pipeline: StableDiffusionXLPipeline,
    name: str,
    work_dir: Path,
    photos: str,
    steps: int,
    batch_size: int,
    peak_lr: float,
) -> None:
    """Trains the ControlNet in place."""
    controlnet.requires_grad_(True)
    unet = pipeline.unet.requires_grad_(False)
    if unet.device.type == "cuda":
        for network in (unet, controlnet):
            network.compile(dynamic=False)
    else:
        use_unfused_attention(unet)
    shown = load_data(work_dir, photos)
    depth, mask = shown.inverse_depth[:, 0], shown.mask[:, 0]
    layouts = torch.from_numpy(np.stack([depth, other_places(work_dir, photos, depth, mask)])).to(unet.device)
    data = Latents(work_dir, pipeline, photos)

    def loss_of(model: ControlNetModel, ids: np.ndarray, rng: np.random.Generator, dropped: float) -> Tensor:
        latents, states, pooled = data.batch(ids)
        kept = torch.from_numpy(rng.random(len(ids)) >= dropped).to(latents)
        states, added = states * kept[:, None, None], conditions(pooled * kept[:, None])
        moved = (rng.random(len(ids)) < OTHER_PLACE).astype(int)
        condition = stretched(layouts[moved, ids].float())[:, None].expand(-1, 3, -1, -1)

        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            shared = {"encoder_hidden_states": states, "added_cond_kwargs": added, "return_dict": False}
            down, mid = model(noisy, timesteps, controlnet_cond=condition, **shared)
            return unet(
                noisy, timesteps, down_block_additional_residuals=down, mid_block_additional_residual=mid, **shared
            )[0]

        generator = torch.Generator(latents.device).manual_seed(int(rng.integers(2**62)))
        return diffusion_loss(predict, build_scheduler(), latents, generator, region_weight=data.region_weight(ids))

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        return loss_of(controlnet, rng.integers(data.num_train, size=batch_size), rng, UNCONDITIONAL), {}

    def evaluate(model: ControlNetModel) -> dict[str, float]:
        held_out = np.resize(np.arange(data.num_train, len(data.latents)), EVALUATED_LOSSES)
        parts = np.split(held_out, NUM_PARTS)
        losses = [loss_of(model, part, np.random.default_rng(seed), 0.0) for seed, part in enumerate(parts)]
        return {"held_out_loss": torch.stack(losses).mean().item()}

    fit(
        name,
        controlnet,
        loss_fn,
        steps=steps,
        peak_lr=peak_lr,
        work_dir=work_dir,
        ema_decay=0.999,
        evaluate=evaluate,
        evaluate_every=500,
    )
