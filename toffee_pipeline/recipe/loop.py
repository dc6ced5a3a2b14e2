"""The training loop that every nano network shares: resumable, seeded, checkpointed."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from toffee_pipeline.models.loading import computes_bfloat16

M = TypeVar("M", bound=nn.Module)
CHECKPOINT_EVERY_S = 60.0
LOG_EVERY_STEPS = 100


def learning_rate(step: int, steps: int, peak: float, warmup: int = 200) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def fit(
    name: str,
    module: M,
    loss_fn: Callable[[int, np.random.Generator], tuple[Tensor, dict[str, float]]],
    *,
    steps: int,
    peak_lr: float,
    work_dir: Path,
    seed: int = 0,
    weight_decay: float = 0.02,
    ema_decay: float = 0.998,
    evaluate: Callable[[M], dict[str, float]] | None = None,
    evaluate_every: int = 1000,
) -> M:
    """Trains `module` for `steps` and returns its exponential moving average in eval mode.

    `loss_fn(step, rng)` gives the loss and figures to log. All randomness comes from `(seed, step)`,
    numpy's through `rng` and torch's through the global seed, so a killed run that starts again from its
    checkpoint sees the batches that it would have seen. Forward passes run under bfloat16 autocast
    where the device computes in it.
    """
    device = next(module.parameters()).device
    bfloat16 = computes_bfloat16(device)
    path = work_dir / name / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    average = copy.deepcopy(module).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(module.parameters(), lr=peak_lr, weight_decay=weight_decay, betas=(0.9, 0.98))
    start = 0
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        module.load_state_dict(state["module"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        print(f"{name}: resumes at step {start} of {steps}", flush=True)

    def save(step: int) -> None:
        state = {
            "module": module.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)

    began = saved = time.monotonic()
    smooth: float | None = None
    module.train()
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_lr)
        torch.manual_seed(seed * 1_000_003 + step)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss, figures = loss_fn(step, np.random.default_rng([seed, step]))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: loss is {loss.item()} at step {step}; the last checkpoint is {path}")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        decay = min(ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        done, now = step + 1, time.monotonic()
        if done % LOG_EVERY_STEPS == 0:
            left_min = (now - began) / (done - start) * (steps - done) / 60
            text = " ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"{name} {done}/{steps} loss {smooth:.4f} {text} left {left_min:.1f} min", flush=True)
        if evaluate is not None and (done % evaluate_every == 0 or done == steps):
            with torch.no_grad():
                print(f"{name} {done}/{steps} eval {evaluate(average)}", flush=True)
        if now - saved > CHECKPOINT_EVERY_S or done == steps:
            save(done)
            saved = now
    return average
