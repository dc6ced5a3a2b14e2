"""Training speed: images per second and model FLOP utilisation of each network, and the job over the bare step.

Step: `Trainer.update` on one fixed batch of encoded inputs, so forward, backward, clipping, AdamW and the moving
average, as the jobs run it. Nano size on one CPU thread; with a GPU also the published sizes with random weights in
bfloat16, the largest halving of the batch that the card holds.

Model FLOP utilisation: three times the FLOPs of the forward pass (the backward pass counts twice; what gradient
checkpointing computes again does not count), per second, over the rate of a large matrix product measured there: on a
GPU in bfloat16, on a CPU on as many threads, in bfloat16 where the CPU computes in it.

    python -m benchmarks.train_step --published-only --json train_step.json

Job: `jobs/train_refiner.py` on Ray with its cache filled, everything included: reading, shuffling, moving, logging.
Its steps are timed by the curve in its own run directory, from the tenth to the last.

    ratio = images per second of the job / images per second of the bare step

The bare step is timed before and after the job, and the mean taken: a shared machine does not stand still.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.fresh import in_fresh_process
from benchmarks.record import Record, json_option, matrix_rate
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, TrainingConfig, ViewGeneratorTraining
from toffee_pipeline.models.loading import computes_bfloat16
from toffee_pipeline.models.network_clock import now
from toffee_pipeline.models.networks import published
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
from toffee_pipeline.models.tiny.untrained import velocity_scheduler
from toffee_pipeline.train.losses import diffusion_loss
from toffee_pipeline.train.tasks import make_task
from toffee_pipeline.train.trainer import Trainer

JOBS: dict[str, type[TrainingConfig]] = {
    "refiner": RefinerTraining,
    "view_generator": ViewGeneratorTraining,
    "toffeenet": ToffeeNetTraining,
}
BATCHES = {"refiner": 8, "view_generator": 16, "toffeenet": 16}
"""Micro-batches of the published sizes, as the profiles have them."""
CHECKPOINTED = ("refiner",)
"""Published sizes whose activations do not fit beside the weights."""
WARM_UP_STEPS = 3
SKIPPED_STEPS = 10


@dataclass(frozen=True)
class Sizes:
    """Shapes of one training sample: latents (channels, side, side), DINO tokens and text of some width."""

    channels: int
    side: int
    dino_dim: int
    text_dim: int
    scale: int


NANO = Sizes(channels=8, side=16, dino_dim=128, text_dim=128, scale=4)
REAL = {
    "refiner": Sizes(channels=4, side=128, dino_dim=published.DINOV2_GIANT_DIM, text_dim=2048, scale=8),
    "view_generator": Sizes(channels=4, side=64, dino_dim=published.DINOV2_GIANT_DIM, text_dim=1024, scale=8),
    "toffeenet": Sizes(channels=4, side=64, dino_dim=published.DINOV2_GIANT_DIM, text_dim=1024, scale=8),
}


class FixedTask:
    """A job's network and loss on one batch of random inputs that lies on the device."""

    def __init__(self, job: str, build: Callable[[], nn.Module], sizes: Sizes, count: int, device: torch.device):
        self.build, self.scheduler, self.device = build, velocity_scheduler(), device
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator, device="cpu").to(device)  # under `with device:`

        self.latents = random(sizes.channels, sizes.side, sizes.side)
        self.conditions = [random(257, sizes.dino_dim)]
        if job == "toffeenet":
            mask, masked = torch.ones_like(self.latents[:, :1]), random(sizes.channels, sizes.side, sizes.side)
            depth = random(1, sizes.side * sizes.scale, sizes.side * sizes.scale)
            self.conditions = [random(77, sizes.text_dim), *self.conditions, mask, masked, depth]

    def loss(self, network: nn.Module, rows: Any, generator: torch.Generator) -> Tensor:
        scheduler: DDIMScheduler = self.scheduler
        return diffusion_loss(lambda x, t: network(x, t, *self.conditions), scheduler, self.latents, generator)

    def forward_flops(self, network: nn.Module) -> int:
        """FLOPs of one forward pass of the batch."""
        timesteps = torch.zeros(len(self.latents), dtype=torch.long, device=self.device)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            network(self.latents, timesteps, *self.conditions)
        return counter.get_total_flops()


def real_network(job: str) -> nn.Module:
    """The published network, random weights, on torch's default device."""
    unet = published.sdxl_unet() if job == "refiner" else published.sd2_unet()
    classes: dict[str, Any] = {
        "refiner": RefinerNetwork,
        "view_generator": ViewGeneratorNetwork,
        "toffeenet": ToffeeNetNetwork,
    }
    return classes[job].from_base(unet, published.DINOV2_GIANT_DIM, velocity_scheduler()).train()


def peak_flops(device: torch.device) -> float:
    """FLOP/s of a large matrix product here."""
    return matrix_rate(device, torch.bfloat16 if computes_bfloat16(device) else torch.float32)


def measure(job: str, device_name: str, batch_size: int, steps: int, compile: bool = False) -> dict[str, float]:
    """batch, step_s, images_per_s, tflop_per_s, utilisation (0..1) and peak_memory_gib of one network."""
    torch.set_num_threads(1)
    device, real = torch.device(device_name), device_name == "cuda"
    overrides = [f"train.batch_size={batch_size}", f"train.micro_batch_size={batch_size}", f"device={device_name}"]
    overrides += [f"train.gradient_checkpointing={real and job in CHECKPOINTED}", f"train.compile={compile}"]
    config = load_config("nano", tuple(overrides), JOBS[job])
    build = (lambda: real_network(job)) if real else make_task(config).build
    with device:
        task = FixedTask(job, build, REAL[job] if real else NANO, batch_size, device)
        trainer = Trainer(task, config.train, device)
    flops = 3 * task.forward_flops(trainer.network)
    times = []
    for _ in range(steps + WARM_UP_STEPS):
        began = now(device)
        trainer.update([{}])
        times.append(now(device) - began)
    step_s = statistics.median(times[WARM_UP_STEPS:])
    return {
        "batch": batch_size,
        "step_s": step_s,
        "images_per_s": batch_size / step_s,
        "tflop_per_s": flops / step_s / 1e12,
        "utilisation": flops / step_s / peak_flops(device),
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if real else 0.0,
    }


def measure_fitting(job: str, batch_size: int, steps: int, compile: bool) -> dict[str, float]:
    """`measure` on the GPU, with half the batch as often as memory does not hold it."""
    while True:
        try:
            return in_fresh_process(measure, job, "cuda", batch_size, steps, compile)
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2


def job_images_per_s(steps: int, cache: str) -> float:
    """Images per second of the Refiner's job on Ray between its tenth and its last step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from toffee_pipeline.train.job import run_training

    overrides = (
        "data.sources=[{format: world, num_subjects: 1000}]",
        f"data.cache={cache}",
        f"train.max_steps={SKIPPED_STEPS + steps}",
        "tracking.log_every_steps=1",
        "tracking.num_samples=1",
        "sampling.num_inference_steps=1",
    )
    config = load_config("nano", overrides, RefinerTraining)
    with tempfile.TemporaryDirectory() as folder:
        run_training(config, folder, dry_run=False)
        points = EventAccumulator(str(Path(folder) / "tensorboard")).Reload().Scalars("loss")
    times = [point.wall_time for point in points]
    # the last step's point is written before its checkpoint, so that neither saving nor sampling is in between
    gaps = [later - earlier for earlier, later in zip(times[SKIPPED_STEPS:], times[SKIPPED_STEPS + 1 :], strict=False)]
    return config.train.batch_size / statistics.median(gaps)


def line(job: str, device: str, figures: dict[str, float]) -> str:
    return (
        f"{job:15} {device:5} batch {figures['batch']:3}  {figures['step_s']:7.3f} s/step  "
        f"{figures['images_per_s']:7.2f} images/s  {figures['tflop_per_s']:8.3f} TFLOP/s  "
        f"utilisation {figures['utilisation']:.3f}"
    )


def measure_published(jobs: Sequence[str], steps: int, compile: bool, path: Path | None) -> None:
    """The published sizes on the GPU: a line each, and the file anew after each."""
    record = Record("train_step", path, torch.device("cuda"))
    record.add(conditions=f"published sizes, {steps} steps, random weights{', compiled' if compile else ''}")
    for job in jobs:
        figures = measure_fitting(job, BATCHES[job], steps, compile)
        click.echo(line(job, "cuda", figures))
        record.add(**{f"{job}_{name}": value for name, value in figures.items()})


def measure_job(steps: int, path: Path | None) -> None:
    record = Record("train_job", path)
    with tempfile.TemporaryDirectory() as cache:
        before = in_fresh_process(measure, "refiner", "cpu", 32, steps)["images_per_s"]
        job_speed = in_fresh_process(job_images_per_s, steps, cache)
        after = in_fresh_process(measure, "refiner", "cpu", 32, steps)["images_per_s"]
    bare = (before + after) / 2
    record.add(
        job_images_per_s=job_speed,
        bare_images_per_s_before=before,
        bare_images_per_s_after=after,
        ratio=job_speed / bare,
        conditions=f"nano, {steps} steps of batch 32, one thread",
    )


@click.command(help=__doc__)
@click.option("--steps", default=30, show_default=True, help="Timed steps of each measurement.")
@click.option("--published-only", is_flag=True, help="Only the published sizes, on a GPU: no nano and no Ray.")
@click.option("--job-only", is_flag=True, help="Only the job over the bare step; --json then has its figures.")
@click.option("--network", "networks", type=click.Choice(list(JOBS)), multiple=True, help="Only these published sizes.")
@click.option("--compile", is_flag=True, help="Published sizes with train.compile.")
@json_option
def main(
    steps: int, published_only: bool, job_only: bool, networks: tuple[str, ...], compile: bool, path: Path | None
) -> None:
    if job_only:
        measure_job(steps, path)
        return
    if torch.cuda.is_available():
        measure_published(networks or tuple(JOBS), steps, compile, path)
    else:
        click.echo("no GPU here: the published sizes are not measured")
    if published_only:
        return
    for job in JOBS:
        click.echo(line(job, "cpu", in_fresh_process(measure, job, "cpu", 32, steps)))
    measure_job(steps, None)


if __name__ == "__main__":
    main()
