"""Trains the nano Refiner: from DINO tokens and noise back to the image (Eq 1, with v-prediction)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Dinov2Model

from toffee_pipeline.models.refiner import RefinerNetwork
from toffee_pipeline.nano.architectures import (
    DINO_DIM,
    PATCH_PX,
    TOKEN_MAP_CHANNELS,
    build_refiner_unet,
    build_scheduler,
)
from toffee_pipeline.nano.recipe.data import NUM_HELD_OUT, WorldData, load_data, to_tensor
from toffee_pipeline.nano.recipe.loop import fit
from toffee_pipeline.nano.recipe.vae import psnr

BATCH = 32
MAX_SUBJECTS = 6_200
"""Latents and tokens of these lie in memory; the held-out subjects are the last of them."""
DROP_TOKENS = 0.1


def subjects_used(data: WorldData) -> np.ndarray:
    """Renders of the last `MAX_SUBJECTS` subjects: training subjects, then the held-out ones."""
    return data.rgb[-MAX_SUBJECTS:]


def encode_data(data: WorldData, weights_dir: Path) -> tuple[Tensor, Tensor]:
    """Scaled latents (m, 8, 16, 16) and DINO tokens (m, 257, 128) of all renders, float16, in reading order."""
    vae = AutoencoderKL.from_pretrained(weights_dir / "vae", torch_dtype=torch.float32).eval()
    dino = Dinov2Model.from_pretrained(weights_dir / "dino", dtype=torch.float32).eval()
    images = subjects_used(data).reshape(-1, *data.rgb.shape[2:])
    latents, tokens = [], []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(images), 64):
            batch = to_tensor(images[start : start + 64])
            latents.append((vae.encode(batch).latent_dist.mean * vae.config.scaling_factor).half())
            tokens.append(dino(batch).last_hidden_state.half())
            if start % 6400 == 0:
                print(f"refiner: encoded {start}/{len(images)}", flush=True)
    return torch.cat(latents), torch.cat(tokens)


@torch.no_grad()
def reconstruct(network: RefinerNetwork, tokens: Tensor, scheduler: DDIMScheduler, steps: int = 20) -> Tensor:
    """Latents (n, 8, 16, 16) drawn from pure noise under `tokens`."""
    scheduler.set_timesteps(steps)
    latents = torch.randn((len(tokens), 8, 16, 16), generator=torch.Generator().manual_seed(0))
    for timestep in scheduler.timesteps:
        latents = scheduler.step(network(latents, timestep, tokens), timestep, latents).prev_sample
    return latents


def train_refiner(work_dir: Path, weights_dir: Path, steps: int) -> None:
    data = load_data(work_dir)
    cache = work_dir / "refiner" / "encoded.pt"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        torch.save(encode_data(data, weights_dir), cache)
    latents, tokens = torch.load(cache, weights_only=True, mmap=True)
    rgb = subjects_used(data)
    num_train = (len(rgb) - NUM_HELD_OUT) * rgb.shape[1]
    vae = AutoencoderKL.from_pretrained(weights_dir / "vae", torch_dtype=torch.float32).eval()
    scheduler = build_scheduler()
    network = RefinerNetwork(build_refiner_unet(), nn.Linear(DINO_DIM, TOKEN_MAP_CHANNELS), scheduler, PATCH_PX)
    shown = torch.arange(num_train, len(latents), 12)[:48]

    def loss_fn(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = torch.from_numpy(rng.integers(num_train, size=BATCH))
        clean, condition = latents[ids].float(), tokens[ids].float()
        condition = condition * (torch.rand(BATCH, 1, 1) >= DROP_TOKENS)
        noise, timesteps = torch.randn_like(clean), torch.randint(0, scheduler.config.num_train_timesteps, (BATCH,))
        predicted = network(scheduler.add_noise(clean, noise, timesteps), timesteps, condition)
        return F.mse_loss(predicted.float(), scheduler.get_velocity(clean, noise, timesteps)), {}

    def evaluate(model: RefinerNetwork) -> dict[str, float]:
        sampled = reconstruct(model, tokens[shown].float(), build_scheduler())
        images = to_tensor(rgb.reshape(-1, *rgb.shape[2:])[shown.numpy()])
        decode = lambda z: vae.decode(z / vae.config.scaling_factor).sample.clamp(-1, 1)  # noqa: E731
        return {"psnr_db": psnr(decode(sampled), images), "vae_psnr_db": psnr(decode(latents[shown].float()), images)}

    average = fit(
        "refiner", network, loss_fn, steps=steps, peak_lr=1e-3, work_dir=work_dir, evaluate=evaluate, ema_decay=0.999
    )
    average.half().save(weights_dir / "refiner")
