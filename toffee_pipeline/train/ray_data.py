"""Ray Data in training: each worker's stream of blocks, and filling the cache."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.on_ray.placement import check_room
from toffee_pipeline.on_ray.session import StepCallback, num_cores, quiet_data_context, ray_session, read_cluster
from toffee_pipeline.train.data.cache import Cache, fill
from toffee_pipeline.train.data.examples import Block, Reader
from toffee_pipeline.train.data.records import Source
from toffee_pipeline.train.data.stream import Blocks

if TYPE_CHECKING:  # the processes that read need no networks
    from toffee_pipeline.train.data.encode import FrozenEncoders

READS_PER_DATASET = 1000
FILES_PER_DATASET = 5000
"""Of the cache: each is a task, which the driver keeps as long as the dataset. A set has hundreds of thousands, and a
dataset starts its actors anew."""
READ_CPUS = 1.0
"""Of each worker's reader. Ray Data shares out whole CPUs: where two datasets have one between them, each gets none."""
READ_AHEAD_BATCHES = 8
MIN_READ_AHEAD_BYTES = 16 * 2**20
STEP_PAUSE_S = 0.05
MissingFile = tuple[str, Source, str]
"""That a cache lacks: source name, source, file."""


def logical_cpus(config: TrainingConfig) -> int:
    """Of a Ray on this machine: the workers', and one to read for each."""
    workers = config.workers
    return max(num_cores(), math.ceil(workers.num_workers * workers.num_cpus)) + math.ceil(
        workers.num_workers * READ_CPUS
    )


class Unhurried(StepCallback):
    """Pauses each step of Ray Data's scheduling loop.

    Where reading is far ahead, the loop has nothing to wait for and would keep a core busy.
    """

    def on_execution_step(self, executor: Any) -> None:
        time.sleep(STEP_PAUSE_S)


def ray_blocks(reader: Reader, world: int, batch_size: int) -> Blocks:
    """Ray Data reads some batches ahead on the cluster's CPUs, in order, so that a position stays two numbers.

    One dataset per worker and not one split among them: `streaming_split` cannot go on in the middle of an epoch.
    """

    def blocks(reads: Iterator[int], skip: int) -> Iterator[Block]:
        import ray
        from ray.data import ExecutionResources

        context = quiet_data_context()
        context.custom_execution_callback_classes = [Unhurried]
        options = context.execution_options
        options.preserve_order = True
        options.resource_limits = ExecutionResources(
            cpu=max(READ_CPUS, ray.available_resources().get("CPU", 0.0) / world),
            object_store_memory=max(MIN_READ_AHEAD_BYTES, READ_AHEAD_BATCHES * batch_size * reader.row_bytes),
        )
        shared = ray.put(reader)
        while True:
            chunk = list(islice(reads, READS_PER_DATASET))
            # from here, since each number of a `range` would be a task of its own
            numbers = ray.data.from_items([{"id": id} for id in range(len(chunk))], override_num_blocks=len(chunk))
            dataset = numbers.map_batches(_read, batch_size=1, num_cpus=READ_CPUS, fn_args=(shared, chunk, skip))
            dataset.set_name("training data")
            # a split of one moves Ray Data's scheduling loop, which would fight for this process's GIL, to an actor
            (iterator,) = dataset.streaming_split(1, equal=False)
            yield from iterator.iter_batches(batch_size=None, prefetch_batches=2, batch_format="numpy")
            skip = 0

    return blocks


def _read(batch: Block, shared: Any, reads: list[int], skip: int) -> Iterator[Block]:
    import ray

    index = int(batch["id"][0])
    reader: Reader = ray.get(shared)
    yield from reader.blocks(reads[index], skip if index == 0 else 0)


def check_fits(config: TrainingConfig) -> None:
    """Raises PlacementError where the cluster can never hold the workers and their readers."""
    workers = config.workers
    needs = {
        "CPU": workers.num_workers * (workers.num_cpus + READ_CPUS),
        "GPU": workers.num_workers * workers.num_gpus,
    }
    remedy = "lower workers.num_workers, or add nodes"
    check_room("the workers and a reader for each", needs, read_cluster(), remedy)


def fill_cache(
    config: TrainingConfig, cache: Cache, missing: Sequence[MissingFile], report: Callable[[], None]
) -> None:
    """Encodes the files (source name, source, file) that the cache lacks; `report()` is called after each.

    Raises PlacementError as `check_fits`: before hours of encoding for a training that cannot start.
    """
    if config.workers.placement == "inline":
        encoders = _encoders(config)
        for name, source, file in missing:
            fill(cache, name, source, file, encoders, config.size_px)
            report()
        return
    with ray_session(logical_cpus(config)):
        import ray
        from ray.data import ActorPoolStrategy

        check_fits(config)
        quiet_data_context().execution_no_progress_timeout_s = -1  # nodes with GPUs may be waited for longer
        workers = config.workers
        for start in range(0, len(missing), FILES_PER_DATASET):
            files = missing[start : start + FILES_PER_DATASET]
            numbers = ray.data.from_items([{"id": id} for id in range(len(files))], override_num_blocks=len(files))
            dataset = numbers.map(
                FillCache,
                fn_constructor_args=(config, cache, files),
                compute=ActorPoolStrategy(size=min(workers.num_workers, len(files))),
                num_cpus=workers.num_cpus,
                num_gpus=workers.num_gpus,
            )
            for _ in dataset.iter_rows():
                report()


class FillCache:
    """Ray Data's actor that encodes files for the cache."""

    def __init__(self, config: TrainingConfig, cache: Cache, missing: Sequence[MissingFile]) -> None:
        self.config, self.cache, self.missing, self.encoders = config, cache, missing, _encoders(config)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        name, source, file = self.missing[row["id"]]
        fill(self.cache, name, source, file, self.encoders, self.config.size_px)
        return row


def _encoders(config: TrainingConfig) -> FrozenEncoders:
    from toffee_pipeline.models.loading import pick_device
    from toffee_pipeline.train.data.encode import FrozenEncoders

    return FrozenEncoders(config, pick_device(config.device))
