"""The training loop that every nano network shares: the jobs' trainer, checkpoints and progress line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from toffee_pipeline.config.train import OptimizationConfig
from toffee_pipeline.console.training import TrainingDisplay
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.checkpoint import load_checkpoint, save_checkpoint
from toffee_pipeline.train.data.examples import Block
from toffee_pipeline.train.saved import steps_saved
from toffee_pipeline.train.trainer import Trainer

M = TypeVar("M", bound=nn.Module)
Loss = Callable[[int, np.random.Generator], tuple[Tensor, dict[str, float]]]
CHECKPOINT_EVERY_S = 60.0
LOG_EVERY_STEPS = 100


class _Network:
    """A nano network, whose loss makes its own batches of the step's number."""

    def __init__(self, module: nn.Module, loss_fn: Loss, seed: int) -> None:
        self.module, self.loss_fn, self.seed = module, loss_fn, seed
        self.figures: dict[str, float] = {}

    def build(self) -> nn.Module:
        return self.module.train()

    def loss(self, network: nn.Module, rows: Block, generator: torch.Generator) -> Tensor:
        step = int(rows["step"])
        torch.manual_seed(self.seed * 1_000_003 + step)
        loss, self.figures = self.loss_fn(step, np.random.default_rng([self.seed, step]))
        return loss


def fit(
    name: str,
    module: M,
    loss_fn: Loss,
    *,
    steps: int,
    peak_lr: float,
    work_dir: Path,
    seed: int = 0,
    weight_decay: float = 0.02,
    warmup_steps: int = 200,
    ema_decay: float = 0.998,
    evaluate: Callable[[M], dict[str, float]] | None = None,
    evaluate_every: int = 1000,
) -> M:
    """Trains `module` for `steps` and returns it in eval mode, with the exponential moving average of its weights.

    `loss_fn(step, rng)` gives the loss of `module` and figures to show. All randomness comes from `(seed, step)`,
    numpy's through `rng` and torch's through the global seed, so a killed run that starts again from its
    checkpoint sees the batches that it would have seen.
    """
    settings = OptimizationConfig(
        max_steps=steps,
        batch_size=1,  # the loss makes the batch
        micro_batch_size=1,
        learning_rate=peak_lr,
        lr_scheduler="cosine",
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        adam_beta2=0.98,
        ema_decay=ema_decay,
    )
    network = _Network(module, loss_fn, seed)
    trainer = Trainer(network, settings, next(module.parameters()).device)
    storage = open_storage(str(work_dir / name))
    with TrainingDisplay(steps) as display:
        if saved_steps := steps_saved(storage):
            state, _ = load_checkpoint(storage, saved_steps[-1], trainer.max_part_bytes)
            trainer.load(state, saved_steps[-1])
            display.say(f"{name}: resumes at step {trainer.step} of {steps}")
        saved = time.monotonic()
        while trainer.step < steps:
            trainer.figures = trainer.update([{"step": np.array(trainer.step)}])
            step, last = trainer.step, trainer.step == steps
            display.update({"step": step, **trainer.figures})
            if step % LOG_EVERY_STEPS == 0 and network.figures:
                display.say(f"{name} {step}/{steps} {_words(network.figures)}")
            if evaluate is not None and (step % evaluate_every == 0 or last):
                with trainer.averaged(), torch.no_grad():
                    display.say(f"{name} {step}/{steps} held out: {_words(evaluate(module))}")
            if last or time.monotonic() - saved > CHECKPOINT_EVERY_S:
                save_checkpoint(storage, step, trainer.state(), [], settings.keep_checkpoints)
                saved = time.monotonic()
    with trainer.averaged():
        average = trainer.weights()
    module.load_state_dict(average)
    return module.requires_grad_(False).eval()


def _words(figures: dict[str, float]) -> str:
    return " ".join(f"{key} {value:.4g}" for key, value in figures.items())
