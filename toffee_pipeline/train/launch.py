"""Runs the workers of a training: Ray Train with a Ray Data stream for each worker, or inline without Ray.

Knows torch only in a worker: Ray Train's controller imports this too.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toffee_pipeline.collector import collector_paused
from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.console.training import TrainingDisplay
from toffee_pipeline.errors import TrainingFailed
from toffee_pipeline.on_ray.session import beside_the_driver, ray_session
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.patience import Seldom, tell_waits
from toffee_pipeline.train.data.examples import Reader
from toffee_pipeline.train.data.stream import read_here
from toffee_pipeline.train.mailbox import Mailbox
from toffee_pipeline.train.ray_data import check_fits, logical_cpus, ray_blocks


class Stopped(Exception):
    """The user asked to stop, and the workers have written a checkpoint, or were done anyway."""


class RayHost:
    """A worker's end of the mailbox. Nothing waits for it: an answer counts when it is there."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox, self._answer, self._stop = mailbox, None, False

    def report(self, figures: dict[str, Any]) -> None:
        import ray

        if self._answer is not None:
            done, _ = ray.wait([self._answer], timeout=0)
            if not done:
                return
            self._stop = ray.get(self._answer)
        self._answer = self._mailbox.report.remote(figures)

    def fail(self, message: str) -> None:
        import ray

        ray.get(self._mailbox.fail.remote(message))

    def stopping(self) -> bool:
        return self._stop


def _train_worker(job: dict[str, Any]) -> None:
    with collector_paused():
        import ray.train
        import ray.train.torch
        import torch

        from toffee_pipeline.models.loading import pick_device
        from toffee_pipeline.train.loop import Worker, work

    context = ray.train.get_context()
    config: TrainingConfig = job["config"]
    if config.workers.num_gpus:  # workers of a node see all its GPUs: each has its own index
        device = ray.train.torch.get_device()
        torch.cuda.set_device(device)
    else:
        device = pick_device(config.device)
    worker = Worker(device, context.get_world_rank(), context.get_world_size())
    reader: Reader = job["reader"]
    tell_waits(Seldom(job["mailbox"].note.remote))
    blocks = ray_blocks(reader, worker.world, config.train.batch_size // worker.world)
    work(config, job["storage"], reader, blocks, RayHost(job["mailbox"]), worker)


def launch(config: TrainingConfig, storage: Storage, reader: Reader, display: TrainingDisplay, lease: Lease) -> None:
    """Trains to the end, as long as this driver holds the lease.

    Raises:
        Stopped: after Ctrl-C or SIGTERM; a second one stops at once, without a checkpoint.
        PlacementError: the cluster has no room for the workers.
        TrainingFailed: one line that says why.
        LeaseHeld: another driver took over.
    """
    if config.workers.placement == "inline":
        with collector_paused():
            from toffee_pipeline.models.loading import pick_device
            from toffee_pipeline.train.loop import Worker, work

        mailbox = Mailbox()
        with _stop_signals(mailbox.ask_to_stop):
            worker = Worker(pick_device(config.device))
            work(config, storage, reader, read_here(reader), _InlineHost(mailbox, display, lease), worker)
        _raise_what_happened(mailbox.failure, mailbox.stop_asked)
        return
    with ray_session(logical_cpus(config)):
        import ray

        check_fits(config)
        mailbox_actor = beside_the_driver(Mailbox)
        asked = threading.Event()
        outcome: dict[str, Any] = {}
        job = {"config": config, "storage": storage, "reader": reader, "mailbox": mailbox_actor}
        thread = threading.Thread(target=_fit, args=(config, job, outcome), daemon=True)
        with _stop_signals(asked.set):
            thread.start()
            told = False
            while thread.is_alive():
                thread.join(0.5)
                lease.check()
                if asked.is_set() and not told:
                    mailbox_actor.ask_to_stop.remote()
                    told = True
                figures, notes = ray.get([mailbox_actor.last_figures.remote(), mailbox_actor.take_notes.remote()])
                for note in notes:
                    display.say(note)
                if figures:
                    display.update(figures)
        failure = ray.get(mailbox_actor.first_failure.remote()) or outcome.get("error", "")
        _raise_what_happened(failure, asked.is_set())


def _fit(config: TrainingConfig, job: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Ray Train's part, in a thread of its own so that Ctrl-C is ours to handle."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback, WorkerGroupError
    from ray.train.torch import TorchTrainer

    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # relative paths in the config mean this directory
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    workers, mailbox = config.workers, job["mailbox"]

    class NoteLostWorkers(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            mailbox.note.remote(f"lost {_why(worker_exceptions)}")

    with tempfile.TemporaryDirectory() as notes:  # Ray Train's own; checkpoints go to the run directory
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config=job,
            scaling_config=ScalingConfig(
                num_workers=workers.num_workers,
                use_gpu=workers.num_gpus > 0,
                resources_per_worker={"CPU": workers.num_cpus, "GPU": workers.num_gpus},
            ),
            run_config=RunConfig(
                name=config.job,
                storage_path=notes,
                failure_config=FailureConfig(max_failures=workers.max_failures),
                callbacks=[NoteLostWorkers()],
            ),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            outcome["error"] = _why(error.worker_failures)
        except Exception as error:
            outcome["error"] = f"{type(error).__name__}: {error}"


def _why(failures: dict[int, Exception]) -> str:
    """The first failure in one line: a worker's own error, or what Ray says of its death."""
    rank, error = sorted(failures.items())[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"worker {rank}: {lines[-1] if 'Traceback' in str(error) else lines[0]}"


class _InlineHost:
    def __init__(self, mailbox: Mailbox, display: TrainingDisplay, lease: Lease) -> None:
        self.mailbox, self.display, self.lease = mailbox, display, lease

    def report(self, figures: dict[str, Any]) -> None:
        self.lease.check()
        self.mailbox.report(figures)
        self.display.update(figures)

    def fail(self, message: str) -> None:
        self.mailbox.fail(message)

    def stopping(self) -> bool:
        return self.mailbox.stop_asked


def _raise_what_happened(failure: str, stopped: bool) -> None:
    if failure:
        raise TrainingFailed(failure)
    if stopped:
        raise Stopped


@contextmanager
def _stop_signals(stop: Any) -> Iterator[None]:
    """The first SIGINT or SIGTERM calls `stop`, the next interrupts."""

    def handle(number: int, frame: Any) -> None:
        stop()
        for name in known:
            signal.signal(name, signal.default_int_handler)

    known = {name: signal.signal(name, handle) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in known.items():
            signal.signal(name, handler)
