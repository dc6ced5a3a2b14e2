"""What Ray's workers do with a row: read its shard, run stages on it, write it.

A row is {"shard": index}, then with "data", the shard as bytes; after writing, {"shard": index, "counts": JSON}.
"""

from __future__ import annotations

import functools
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from actors.chain import StageChain
from actors.compiled import compiled_shared
from actors.guard import CrashGuard, CrashRecord, ended_by_cuda_errors
from actors.read import reader_of
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from actors.shard_writer import storage_of
from actors.stage import Stage
from actors.stage_counts import StageCounts
from actors.starts import StartRecord, starting
from actors.writers import writer_of
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.on_ray.metrics import RayMetricSink
from toffee_pipeline.on_ray.placement import Pool, check_memory
from toffee_pipeline.on_ray.session import smallest_gpu_gib
from toffee_pipeline.storage.patience import tell_waits

_sink = functools.cache(RayMetricSink)


class RunRecord(StageCounts, CrashRecord, StartRecord):
    """What outlives the processes of the stages; one actor for all, since a process costs seconds of a core."""

    def __init__(self) -> None:
        StageCounts.__init__(self)
        CrashRecord.__init__(self)
        StartRecord.__init__(self)
        self._note = ""
        self._said: list[str] = []

    def note(self, line: str) -> None:
        """That a reader or a writer waits for a store; the last one counts, since most wait for the same."""
        self._note = line

    def take_note(self) -> str:
        """ "" where nobody waits."""
        note, self._note = self._note, ""
        return note

    def say(self, line: str) -> None:
        """For the user, as it stands."""
        self._said.append(line)

    def has_computed(self, shard: int) -> bool:
        """Whether the stage that `shard` is in has computed a micro-batch before, on any actor."""
        return {stage for stage, _ in self._in_flight.get(shard, ())} <= self._rows.keys()

    def take_said(self) -> list[str]:
        said, self._said = self._said, []
        return said


def _tell_waits(record: Any, output: str) -> None:
    """The driver says, and a metric counts, what waits in this process for a store, the run's or that of its inputs."""

    def waits(line: str, wait_s: float) -> None:
        record.note.remote(line)
        _sink(output)("toffee_storage_wait_seconds", wait_s)

    tell_waits(waits)


class RayChain:
    """A `StageChain` behind Ray Data's row interface, in an actor of its own."""

    def __init__(
        self,
        stages: Sequence[type[Stage]],
        config: DatasetConfig,
        output: str,
        record: Any,
        pool: Pool,
        reads: bool,
    ) -> None:
        """record: an actor of a `RunRecord`. pool: whose actor this is.

        reads: the shards itself, as the first pool's actors do: a task for it would cost a process, and nothing but an
        index travels to them.
        """
        import ray

        def call(method: str, *args: Any) -> Any:
            return ray.get(getattr(record, method).remote(*args))

        self._call, self._guard = call, CrashGuard(call)
        self._metrics = _sink(output)
        _tell_waits(record, output)
        names = [stage.name for stage in stages if stage.name in config.model_stages]
        self._makes_images = {name for name in names if config.stage(name).makes_images}
        self._gpus = {name: config.num_gpus_of(name) for name in names}
        self._gpu = ",".join(map(str, ray.get_gpu_ids()))
        place = socket.gethostname() + (f", GPU {self._gpu}" if self._gpu else "")
        self._tell = lambda line: call("say", f"{pool.label} on {place}: {line}")

        def progress(stage: str, rows: int, seconds: float) -> None:
            record.add.remote(stage, rows, seconds)
            self._measure(stage, rows, seconds)

        actor = ray.get_runtime_context().get_actor_id()
        with starting(pool.label, pool.num_actors, actor, call, self._tell):
            if self._gpu and config.device != "cpu":
                check_memory(config, pool, smallest_gpu_gib())
            self._read = reader_of(config, output) if reads else None
            with compiled_shared(config, names, output, self._tell):
                self._chain = StageChain(config, stages, progress, self._guard, self._metrics, pool.num_threads)
        self._idle_since = time.monotonic()

    def _measure(self, stage: str, rows: int, seconds: float) -> None:
        """Publishes a micro-batch."""
        self._metrics("toffee_stage_rows", rows, stage=stage)
        if stage in self._makes_images:
            self._metrics("toffee_stage_images", rows, stage=stage)
        self._metrics("toffee_stage_seconds", seconds, stage=stage)
        self._metrics("toffee_stage_gpu_seconds", seconds * self._gpus[stage], stage=stage)
        self._metrics("toffee_stage_batch_seconds", seconds, stage=stage)
        self._metrics("toffee_stage_row_seconds", seconds / rows, stage=stage)
        torch = sys.modules.get("torch")  # stages without models never load it
        if self._gpu and torch and torch.cuda.is_initialized():
            held = torch.cuda.max_memory_reserved()
            self._metrics("toffee_gpu_memory_bytes", held, actor=type(self).__name__, gpu=self._gpu)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        waited = time.monotonic() - self._idle_since
        self._metrics("toffee_actor_wait_seconds", waited, actor=type(self).__name__)
        self._guard.start(row["shard"])
        shard = self._read(row["shard"]) if self._read else shard_from_bytes(row["shard"], row["data"])
        with ended_by_cuda_errors(self._tell, lambda: self._call("has_computed", row["shard"])):
            shard = self._chain(shard)
        self._guard.finish()
        self._idle_since = time.monotonic()
        return {"shard": shard.index, "data": shard_to_bytes(shard)}


def write_row(row: dict[str, Any], config: DatasetConfig, output: str, record: Any) -> dict[str, Any]:
    """Commits the shard; its counts are all that reaches the driver."""
    _tell_waits(record, output)
    write, storage = writer_of(config, output), storage_of(output, config.output.endpoint_url)
    before = storage.num_retries
    counts = write(shard_from_bytes(row["shard"], row["data"]))
    _sink(output)("toffee_storage_retries", storage.num_retries - before)
    return {"shard": row["shard"], "counts": counts.model_dump_json()}
