"""Chains the stages over shards: inline, fused into one Ray actor pool, or one Ray actor pool per stage."""

from __future__ import annotations

import functools
import json
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from actors.base import Progress, Shard, Stage
from actors.draft import Draft
from actors.edit import Edit
from actors.guard import Casebook, CasebookGuard, Guard, NoGuard
from actors.progress import Board, Display
from actors.refine import Refine
from actors.score import Score
from actors.segment import Segment
from actors.synthesize import Synthesize
from actors.view import View
from actors.write import Write, write_row
from toffee_pipeline.config import RunConfig
from toffee_pipeline.metrics import IMAGE_STAGES, Record, no_record
from toffee_pipeline.plan import Plan
from toffee_pipeline.ray_metrics import RayRecord
from toffee_pipeline.ray_session import check_room, num_cores, quiet_data_context, ray_session

STAGE_CLASSES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Synthesize, Segment, Draft, Refine, Edit, View, Score)
}
"""In the order of a pair's life."""
SPARE_CPUS = 2
"""Kept free for the read and write tasks: a pool that holds every CPU starves them and the job hangs in silence."""

SHARDS_PER_DATASET = 10_000
"""Of one Ray Dataset: its driver keeps about 15 KiB for each until the dataset ends."""


class StageChain:
    """Some stages in a row over one set of models: what one actor runs."""

    def __init__(
        self, config: RunConfig, names: Iterable[str], progress: Progress, guard: Guard, record: Record = no_record
    ) -> None:
        from toffee_pipeline.models.model_set import ModelSet  # torch: seconds that no driver need spend

        models = ModelSet(config)
        self._record = record
        self.stages = [STAGE_CLASSES[name](config, models, progress, guard) for name in names]

    def __call__(self, shard: Shard) -> Shard:
        for stage in self.stages:
            pairs = shard.open_pairs()
            shard = stage(shard)
            self._record("toffee_stage_pairs_in", len(pairs), stage=stage.name)
            ended = Counter((state.status, state.reason or "") for state in pairs if state.status != "ok")
            for (outcome, reason), number in ended.items():
                self._record("toffee_stage_pairs_out", number, stage=stage.name, outcome=outcome, reason=reason)
        return shard


def choose_placement(config: RunConfig) -> str:
    """`auto` is fused: balanced by construction and with the fewest objects on the move."""
    return "fused" if config.placement == "auto" else config.placement


def run(
    config: RunConfig, output: str, shards: list[int], display: Display, record: RayRecord | None = None
) -> Generator[dict[str, Any]]:
    """Computes and commits `shards`; yields each one's counts as it is committed, in any order. Close it to stop.

    record: the driver's metrics, kept fresh while Ray is up.
    """
    if not shards:
        return
    if choose_placement(config) == "inline":
        yield from _run_inline(config, output, shards, display)
    else:
        yield from _run_on_ray(config, output, shards, display, record or RayRecord(output))


def _run_inline(config: RunConfig, output: str, shards: list[int], display: Display) -> Iterator[dict[str, Any]]:
    import torch

    torch.set_num_threads(max(1, int(config.fused.num_cpus)))  # as in an actor: the same bits, and faster on tiny nets
    plan, board, write = Plan(config), Board(), Write(config, output)

    def progress(stage: str, rows: int, seconds: float) -> None:
        board.add(stage, rows, seconds)
        display.update(board.snapshot())

    chain = StageChain(config, STAGE_CLASSES, progress, NoGuard())
    for index in shards:
        yield write(chain(Shard.from_plan(plan, index)))


class RayChain:
    """A `StageChain` behind Ray Data's row interface."""

    names: tuple[str, ...] = ()

    def __init__(self, config: RunConfig, output: str, board: Any, casebook: Any, num_threads: int) -> None:
        import ray
        import torch

        # a shard travels as a pickled object on purpose; Ray would remark on it in every worker
        logging.getLogger("ray.data._internal.tensor_extensions.arrow").setLevel(logging.ERROR)
        torch.set_num_threads(num_threads)
        self._guard = CasebookGuard(lambda method, *args: ray.get(getattr(casebook, method).remote(*args)))
        self._record = RayRecord(output)
        self._gpus = {stage: config.num_gpus_of(stage) for stage in self.names}
        self._gpu = ",".join(map(str, ray.get_gpu_ids()))

        def progress(stage: str, rows: int, seconds: float) -> None:
            board.add.remote(stage, rows, seconds)
            self._measure(stage, rows, seconds)

        self._chain = StageChain(config, self.names, progress, self._guard, self._record)
        self._idle_since = time.monotonic()

    def _measure(self, stage: str, rows: int, seconds: float) -> None:
        """Publishes a micro-batch."""
        self._record("toffee_stage_rows", rows, stage=stage)
        if stage in IMAGE_STAGES:
            self._record("toffee_stage_images", rows, stage=stage)
        self._record("toffee_stage_seconds", seconds, stage=stage)
        self._record("toffee_stage_gpu_seconds", seconds * self._gpus[stage], stage=stage)
        self._record("toffee_stage_batch_seconds", seconds, stage=stage)
        self._record("toffee_stage_row_seconds", seconds / rows, stage=stage)
        import torch

        if self._gpu and torch.cuda.is_initialized():
            held = torch.cuda.max_memory_reserved()
            self._record("toffee_gpu_memory_bytes", held, actor=type(self).__name__, gpu=self._gpu)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        waited = time.monotonic() - self._idle_since
        self._record("toffee_actor_wait_seconds", waited, actor=type(self).__name__)
        self._guard.start(row["shard"].index)
        shard = self._chain(row["shard"])
        self._guard.finish()
        self._idle_since = time.monotonic()
        return {"shard": shard}


@functools.lru_cache(maxsize=1)
def _plan(config_json: str) -> Plan:
    return Plan(RunConfig.model_validate_json(config_json))


def _read(row: dict[str, Any], config_json: str, shards: list[int]) -> dict[str, Any]:
    """Plans the shard of a row where it is computed, so that nothing but an index travels there."""
    return {"shard": Shard.from_plan(_plan(config_json), shards[row["id"]])}


class Pool(NamedTuple):
    """Actors that run some stages in a row."""

    label: str
    stages: tuple[str, ...]
    num_actors: int
    num_cpus: float
    num_gpus: float


def _pools(config: RunConfig, cluster: dict[str, float]) -> list[Pool]:
    if choose_placement(config) == "pools":
        return [
            Pool(name.title(), (name,), settings.num_actors, settings.num_cpus, settings.num_gpus)
            for name, settings in ((name, getattr(config.stages, name)) for name in STAGE_CLASSES)
        ]
    fused = config.fused
    if fused.num_actors is not None:
        count = fused.num_actors
    elif fused.num_gpus > 0:
        count = max(1, int(cluster.get("GPU", 0) / fused.num_gpus))
    else:
        count = max(1, int((cluster.get("CPU", 0) - SPARE_CPUS) / max(fused.num_cpus, 0.01)))
    return [Pool("AllStages", tuple(STAGE_CLASSES), count, fused.num_cpus, fused.num_gpus)]


def check_fits(pools: list[Pool], cluster: dict[str, float]) -> None:
    """Refuses what would hang: actors that the cluster has no room for, with a CPU left to read and write."""
    needs = {
        "CPU": sum(pool.num_actors * pool.num_cpus for pool in pools) + 1,
        "GPU": sum(pool.num_actors * pool.num_gpus for pool in pools),
    }
    remedy = "lower stages.*.num_actors or fused.num_actors, or add nodes"
    check_room("the actors, reading and writing", needs, cluster, remedy)


def logical_cpus(config: RunConfig) -> int:
    """Of a Ray on this machine: as many as the actors ask for, and the spare ones."""
    pools = _pools(config, {"CPU": num_cores() + SPARE_CPUS})
    return max(num_cores(), math.ceil(sum(pool.num_actors * pool.num_cpus for pool in pools))) + SPARE_CPUS


def _beside_the_driver(kind: type[Any]) -> Any:
    """An actor of this class on the driver's node, which no autoscaler takes away."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": node}
    return ray.remote(**options)(kind).remote()


def _run_on_ray(
    config: RunConfig, output: str, shards: list[int], display: Display, record: RayRecord
) -> Iterator[dict[str, Any]]:
    with ray_session(logical_cpus(config)) as cluster:
        import ray

        pools = _pools(config, cluster)
        check_fits(pools, cluster)
        quiet_data_context().execution_options.preserve_order = False
        board, casebook = (_beside_the_driver(kind) for kind in (Board, Casebook))
        stop = threading.Event()

        known_retries = 0

        def look() -> None:
            nonlocal known_retries
            stages, retries = ray.get([board.snapshot.remote(), casebook.retries.remote()])
            display.update(stages)
            record("toffee_retries", retries - known_retries)  # a casebook that was replaced counts anew
            known_retries = retries
            record.refresh()

        def watch() -> None:
            while not stop.wait(1.0):
                look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            for start in range(0, len(shards), SHARDS_PER_DATASET):
                some = shards[start : start + SHARDS_PER_DATASET]
                for row in _dataset(config, output, some, pools, board, casebook).iter_rows():
                    yield json.loads(row["counts"])
        finally:
            stop.set()
            watcher.join()
            look()


def _dataset(config: RunConfig, output: str, shards: list[int], pools: list[Pool], board: Any, casebook: Any) -> Any:
    """The Ray Dataset whose rows are the shards' counts: iterating over it computes and commits them."""
    import ray
    from ray.data import ActorPoolStrategy

    dataset = ray.data.range(len(shards), override_num_blocks=len(shards)).map(
        _read, fn_args=(config.model_dump_json(), shards)
    )
    for pool in pools:
        dataset = dataset.map(
            type(pool.label, (RayChain,), {"names": pool.stages}),  # the class name is the dashboard's label
            fn_constructor_args=(config, output, board, casebook, max(1, int(pool.num_cpus))),
            compute=ActorPoolStrategy(size=min(pool.num_actors, len(shards))),
            num_cpus=pool.num_cpus,
            num_gpus=pool.num_gpus,
        )
    dataset = dataset.map(write_row, fn_args=(config, output), num_cpus=0.5)
    dataset.set_name("toffee")
    return dataset
