"""The body of the three training jobs: check, describe the run, fill the cache, train."""

from __future__ import annotations

import hashlib
import json

from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.console.say import say
from toffee_pipeline.console.training import CacheDisplay, TrainingDisplay
from toffee_pipeline.errors import TrainingFailed
from toffee_pipeline.models.weights import describe_weights
from toffee_pipeline.on_ray.session import refuse_relative_output
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.description import C, TrainingFiles, TrainingRun, claim
from toffee_pipeline.rundir.layout import MODEL, SUMMARY, TENSORBOARD
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.train.data.cache import Cache, CachedSource, source_name
from toffee_pipeline.train.data.examples import Reader
from toffee_pipeline.train.data.records import Source
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.data.stream import MAX_NAMED
from toffee_pipeline.train.data.task_examples import NEEDED, columns_of, examples_of
from toffee_pipeline.train.launch import Stopped, launch
from toffee_pipeline.train.ray_data import fill_cache
from toffee_pipeline.train.saved import TrainingSummary, steps_saved
from toffee_pipeline.train.tracking_services import check_installed

Files = list[tuple[int, str]]
"""(index of the source, file) of all of `data.sources`, in their stable order."""


def run_training(config: TrainingConfig, output: str, dry_run: bool) -> None:
    """One training job from its config to its result."""
    check_installed(config.tracking)
    refuse_relative_output(output)
    storage = open_storage(output, config.output.endpoint_url)
    sources = [make_source(source) for source in config.data.sources]
    files = [(index, file) for index, source in enumerate(sources) for file in source.files()]
    run = describe(config, files)
    _announce(config, files, run.models)
    if dry_run:
        return
    claim(storage, run)
    if is_done(storage, config):
        steps = steps_saved(storage)[-1]
        say(f"nothing to do: {steps} steps are done; the network is {storage.path_for(MODEL)}")
        return
    with at_work(storage, say, lambda: _kept(storage)) as lease:
        train(config, storage, sources, files, lease)
    conclude(storage)


def describe(config: C, files: Files) -> TrainingRun[C]:
    """run.json: what tells this training from another, and with which code it began."""
    named = TrainingFiles(num_files=len(files), sha256=hashlib.sha256(json.dumps(files).encode()).hexdigest())
    kind: type[TrainingRun[C]] = TrainingRun[type(config)]  # type: ignore[misc, assignment]
    return kind.now(config.job, config=config, data=named, models=_describe_models(config))


def is_done(storage: Storage, config: TrainingConfig) -> bool:
    """Whether the result of at least `train.max_steps` is written."""
    return storage.exists(SUMMARY) and read(storage, SUMMARY, TrainingSummary).steps >= config.train.max_steps


def train(config: TrainingConfig, storage: Storage, sources: list[Source], files: Files, lease: Lease) -> None:
    """Fills the cache, and trains on from the last checkpoint to the result.

    Raises KeyboardInterrupt after Ctrl-C, and TrainingFailed, which names the last checkpoint.
    """
    if steps := steps_saved(storage):
        say(f"resuming at step {steps[-1]}")
    try:
        reader = build_reader(config, sources, files)
        with TrainingDisplay(config.train.max_steps) as display:
            launch(config, storage, reader, display, lease)
    except (KeyboardInterrupt, Stopped) as error:
        if not is_done(storage, config):
            raise KeyboardInterrupt from error
    except (TrainingFailed, OSError) as error:
        steps = steps_saved(storage)
        kept = f"step {steps[-1]}" if steps else "none"
        failed = TrainingFailed(f"{error} [last checkpoint: {kept}]")
        failed.exit_code = getattr(error, "exit_code", failed.exit_code)
        raise failed from error


def _kept(storage: Storage) -> str:
    steps = steps_saved(storage)
    return f"step {steps[-1]} is saved" if steps else "nothing is saved yet"


def conclude(storage: Storage) -> None:
    """Says what came out and where it lies."""
    summary = read(storage, SUMMARY, TrainingSummary)
    say(f"{summary.steps} steps, loss {summary.figures['loss']:.4f}")
    if summary.broken.times:
        say(f"broken samples were left out {summary.broken.times} times, each epoch anew:")
        for line in summary.broken.first:
            say(f"  {line}")
        if len(summary.broken.first) == MAX_NAMED:
            say(f"  (the first {MAX_NAMED} of them)")
    if summary.broken.too_small:
        say(f"samples below data.min_side_px were left out {summary.broken.too_small} times, each epoch anew")
    say(f"network: {storage.path_for(MODEL)}")
    say(f"curves: tensorboard --logdir {storage.path_for(TENSORBOARD)}")


def _announce(config: TrainingConfig, files: Files, models: dict[str, str]) -> None:
    workers, micro_batch = config.workers.num_workers, config.micro_batch_size
    accumulated = config.train.batch_size // (workers * micro_batch)
    say(
        f"{config.job}: {config.train.max_steps} steps of {config.train.batch_size} samples "
        f"({workers} workers, {accumulated} micro-batches of {micro_batch} each), {len(files)} files"
    )
    for name, words in models.items():
        say(f"  {name}: {words}")


def _describe_models(config: TrainingConfig) -> dict[str, str]:
    """Where training starts and what is frozen, with what identifies the weights."""
    base = config.models.base
    known = {"vae": config.models.vae, "dino": config.models.dino}
    described = {name: describe_weights(spec, name) for name, spec in known.items() if spec is not None}
    # of nano's, the Refiner goes on from itself, the others start from text to image
    network = "refiner" if config.job == "train_refiner" else "sdxl"
    return {"base": describe_weights(base, network), **described}


def build_reader(config: TrainingConfig, sources: list[Source], files: Files) -> Reader:
    """What the workers read: the sources, or a cache of them that is filled first."""
    encoded = None
    if config.data.cache is not None:
        cache = Cache.open(config)
        names = [source_name(source) for source in config.data.sources]
        known = cache.known()
        missing = [
            (names[index], sources[index], file)
            for index, file in files
            if cache.key_of(names[index], file) not in known
        ]
        if missing:
            with CacheDisplay(len(missing)) as display:
                fill_cache(config, cache, missing, display)
        encoded = cache.shapes(cache.key_of(names[index], file) for index, file in files)
        sources = [CachedSource(name, source, cache, encoded) for name, source in zip(names, sources, strict=True)]
    return Reader(
        sources=tuple(sources),
        files=tuple(files),
        files_per_read=config.data.files_per_read,
        examples=examples_of(config),
        columns=columns_of(config, encoded),
        size_px=config.size_px,
        seed=config.seed,
        needed=NEEDED[type(config)],
        min_side_px=config.data.min_side_px,
    )
