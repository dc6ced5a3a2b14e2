"""What one worker does: go on from the last checkpoint, train, show, save. Knows no Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch
import torch.distributed as dist

from toffee_pipeline.collector import collector_paused
from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.errors import DataError, NotFinite, TrackerError
from toffee_pipeline.image_grid import image_grid
from toffee_pipeline.storage import Storage
from toffee_pipeline.train.checkpoint import broken_before, load_checkpoint, save_checkpoint
from toffee_pipeline.train.data.examples import Block, Reader, first_rows
from toffee_pipeline.train.data.stream import MAX_NAMED, Batches, Blocks, Position, resume
from toffee_pipeline.train.result import write_result
from toffee_pipeline.train.saved import BrokenSamples, steps_saved
from toffee_pipeline.train.tasks import Task, make_task
from toffee_pipeline.train.tracking import Tracker
from toffee_pipeline.train.trainer import Trainer

FLUSH_EVERY_S = 30.0


class Host(Protocol):
    """Where the worker runs: it hears of progress, and may ask to stop."""

    def report(self, figures: dict[str, Any]) -> None:
        """Progress, from rank 0 after every step."""

    def fail(self, message: str) -> None:
        """Ends the job with this line: trying again would not help."""

    def stopping(self) -> bool:
        """Whether to checkpoint and leave; asked on rank 0 after every step."""


@dataclass(frozen=True)
class Worker:
    """Which worker this is, and where it computes."""

    device: torch.device
    rank: int = 0
    world: int = 1


def work(config: TrainingConfig, storage: Storage, reader: Reader, blocks: Blocks, host: Host, worker: Worker) -> None:
    """Trains until `train.max_steps`, a stop, or an error; writes checkpoints, curves, samples and the result."""
    torch.set_num_threads(max(1, int(config.workers.num_cpus)))
    with collector_paused():
        task = make_task(config)
    task.use(worker.device)
    trainer = Trainer(
        task,
        config.train,
        worker.device,
        worker.rank,
        worker.world,
        seed=config.seed,
        fsdp=config.workers.strategy == "fsdp",
    )
    position = _restore(trainer, storage, worker)
    batches = Batches(blocks, position, worker.world, config.micro_batch_size, config.data.max_broken_fraction)
    session = _Session(config, storage, task, trainer, batches, worker)
    finished = False
    try:
        session.prepare(reader)
        session.run(host)
        finished = True
    except (NotFinite, DataError, TrackerError) as error:
        host.fail(str(error))
    finally:
        if session.tracker is not None:
            session.tracker.close(failed=not finished)


def _restore(trainer: Trainer, storage: Storage, worker: Worker) -> Position:
    """Loads the last checkpoint, if there is one, and says where this worker's data goes on."""
    found: list[Any] = [None, []]
    state: dict[str, dict[str, Any]] = {"network": {}, "average": {}, "optimizer": {}, "figures": {}}
    if worker.rank == 0:
        steps = steps_saved(storage)
        if steps:
            state, positions = load_checkpoint(storage, steps[-1], trainer.max_part_bytes)
            found = [steps[-1], positions]
    if worker.world > 1:
        dist.broadcast_object_list(found)
    step, positions = found
    if step is not None:
        trainer.load(state, step)
    return resume(positions, worker.rank, worker.world)


def gather_data(batches: Batches, before: BrokenSamples, world: int) -> tuple[list[Position], BrokenSamples]:
    """Where each worker's data stands, and what all have left out since the training began; every worker takes part.

    before: what was left out before this start.
    """
    mine = (batches.position, batches.broken, batches.errors, batches.too_small)
    gathered: list[Any] = [mine] * world
    if world > 1:
        dist.all_gather_object(gathered, mine)
    positions, times, errors, too_small = zip(*gathered, strict=True)
    named = dict.fromkeys([*before.first, *chain.from_iterable(errors)])
    return list(positions), BrokenSamples(
        times=before.times + sum(times),
        first=tuple(named)[:MAX_NAMED],
        too_small=before.too_small + sum(too_small),
    )


class _Session:
    """The loop's moving parts."""

    def __init__(
        self,
        config: TrainingConfig,
        storage: Storage,
        task: Task,
        trainer: Trainer,
        batches: Batches,
        worker: Worker,
    ) -> None:
        self.config, self.storage, self.task, self.trainer = config, storage, task, trainer
        self.batches, self.worker, self.first = batches, worker, worker.rank == 0
        self.num_micro_batches = config.train.batch_size // (worker.world * config.micro_batch_size)
        self.tracker: Tracker | None = None
        self.broken_before = broken_before(storage, trainer.step) if trainer.step and self.first else BrokenSamples()
        self.shown: Block = {}
        self.flushed = time.monotonic()

    def prepare(self, reader: Reader) -> None:
        """Opens the tracker and reads the examples of the sample grid, the same at every step.

        Raises DataError where no sample is usable, TrackerError where a service refuses; on all workers alike.
        """

        def action() -> None:
            config, storage = self.config, self.storage
            if self.first:
                settings = config.model_dump(mode="json")
                self.tracker = Tracker(config.tracking, storage, config.job, settings, self.trainer.step)
            if self.first or self.trainer.sharded:  # all must draw where weights are sharded
                self.shown = first_rows(reader, config.tracking.num_samples)

        self._together(action)

    def run(self, host: Host) -> None:
        train, tracking, trainer = self.config.train, self.config.tracking, self.trainer
        pace = _Pace(train.batch_size)
        stopping = False
        while trainer.step < train.max_steps and not stopping:
            began = time.monotonic()
            micro_batches = self._together(self._fetch)
            waited = time.monotonic() - began
            figures = trainer.update(micro_batches)
            figures, stopping = self._agree(figures, host)
            figures |= pace.lap(waited)
            trainer.figures = figures
            step = trainer.step
            if self.first:
                left_out = {"broken": self.batches.broken}
                if self.config.data.min_side_px:
                    left_out["too_small"] = self.batches.too_small
                host.report({"step": step, **left_out, **figures})
            if self.tracker and (step % tracking.log_every_steps == 0 or step == train.max_steps):
                self.tracker.log(step, figures)
                if time.monotonic() - self.flushed > FLUSH_EVERY_S:
                    self.tracker.flush()
                    self.flushed = time.monotonic()
            if step % tracking.sample_every_steps == 0 or step == train.max_steps:
                self._show(step)
            if step % train.checkpoint_every_steps == 0 or step == train.max_steps or stopping:
                self._save()
        if trainer.step >= train.max_steps:
            _, broken = gather_data(self.batches, self.broken_before, self.worker.world)
            write_result(self.config, self.storage, self.task, trainer, broken)
        if self.worker.world > 1:
            dist.barrier()

    def _fetch(self) -> list[Any]:
        return [self.batches.next() for _ in range(self.num_micro_batches)]

    def _together(self, action: Callable[[], Any]) -> Any:
        """Runs `action`; if it raises DataError or TrackerError on one worker, all workers end with it."""
        error: DataError | TrackerError | None = None
        result = None
        try:
            result = action()
        except (DataError, TrackerError) as raised:
            error = raised
        if self.worker.world > 1:
            failed = torch.tensor(float(error is not None), device=self.trainer.device)
            dist.all_reduce(failed)
            if failed and error is None:
                error = DataError("")  # another worker says why
        if error is not None:
            raise error
        return result

    def _agree(self, figures: dict[str, float], host: Host) -> tuple[dict[str, float], bool]:
        """The mean loss of all workers, and whether rank 0 was asked to stop."""
        stopping = self.first and host.stopping()
        if self.worker.world == 1:
            return figures, stopping
        shared = torch.tensor([figures["loss"] / self.worker.world, float(stopping)], device=self.trainer.device)
        dist.all_reduce(shared)
        return figures | {"loss": shared[0].item()}, bool(shared[1] > 0)

    def _show(self, step: int) -> None:
        """A grid of samples from fixed seeds, by the averaged weights."""
        if not self.shown:
            return
        with self.trainer.averaged(), torch.no_grad(), self.trainer.autocast():
            columns, rows = self.task.sample(self.trainer.network, self.shown)
        if self.tracker:
            self.tracker.images(step, "samples", image_grid(rows, columns))

    def _save(self) -> None:
        state = self.trainer.state()
        positions, broken = gather_data(self.batches, self.broken_before, self.worker.world)
        if self.first:
            assert self.tracker is not None
            self.tracker.flush()
            keep = self.config.train.keep_checkpoints
            save_checkpoint(self.storage, self.trainer.step, state, positions, keep, broken)


class _Pace:
    """Images per second and the share of time spent waiting for data, smoothed over about 20 steps.

    The first step, which waits for the first data and warms everything up, does not count.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.last: float | None = None
        self.step_s = self.wait_s = 0.0

    def lap(self, waited_s: float) -> dict[str, float]:
        last, self.last = self.last, time.monotonic()
        if last is None:
            return {}
        weight = 0.05 if self.step_s else 1.0
        self.step_s += weight * (self.last - last - self.step_s)
        self.wait_s += weight * (waited_s - self.wait_s)
        return {"images_per_s": self.batch_size / self.step_s, "data_wait": self.wait_s / self.step_s}
