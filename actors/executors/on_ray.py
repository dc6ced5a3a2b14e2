"""The stages on Ray: each shard is a row of a Ray Dataset and goes through pools of actors."""

from __future__ import annotations

import functools
import json
import logging
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actors import chain
from actors.base import Shard
from actors.guard import Casebook, CasebookGuard
from actors.stage_counts import StageCounts
from actors.write import write_row
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import IMAGE_STAGES
from toffee_pipeline.console.generation import GenerationDisplay
from toffee_pipeline.on_ray.metrics import RayRecord
from toffee_pipeline.on_ray.placement import SPARE_CPUS, Pool, check, choose, describe, least_pools, plan_pools
from toffee_pipeline.on_ray.session import num_cores, quiet_data_context, ray_session, read_cluster
from toffee_pipeline.on_ray.stall import Stalled, StallWatch
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.commit import committed_shards, read_manifest
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.storage import open_storage

SHARDS_PER_DATASET = 10_000
"""Of one Ray Dataset: its driver keeps about 15 KiB for each until the dataset ends."""
MEASURED_PAIRS = 100
"""From so many pairs on, the run's own figures say what the stages cost."""


class RayChain:
    """A `StageChain` behind Ray Data's row interface."""

    names: tuple[str, ...] = ()

    def __init__(self, config: RunConfig, output: str, stage_counts: Any, casebook: Any, num_threads: int) -> None:
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
            stage_counts.add.remote(stage, rows, seconds)
            self._measure(stage, rows, seconds)

        self._chain = chain.StageChain(config, self.names, progress, self._guard, self._record)
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


def logical_cpus(config: RunConfig) -> int:
    """Of a Ray on this machine: as many as the actors ask for, and the spare ones."""
    least = least_pools(config, config.placement, list(chain.STAGE_CLASSES))
    return max(num_cores(), math.ceil(sum(pool.num_actors * pool.num_cpus for pool in least))) + SPARE_CPUS


def plan_now(config: RunConfig, totals: Totals) -> tuple[RunConfig, list[Pool], str]:
    """The config with its placement chosen, the pools for the nodes that are there, and both in words.

    Raises PlacementError where the cluster can never hold them.
    """
    cluster = read_cluster(with_gpu_memory=config.device != "cpu")
    placement, why = choose(config, cluster)
    config = config.model_copy(update={"placement": placement})
    stages = list(chain.STAGE_CLASSES)
    if measured := totals.planned >= MEASURED_PAIRS:
        costs = {stage: totals.stages[stage]["seconds"] / totals.planned for stage in stages}
    else:
        costs = {stage: config.stage(stage).seconds_per_pair for stage in stages}
    # each fused actor is of use alone, so that all may be asked for at once, which makes the autoscaler's nodes come;
    # pools that wait for nodes could fill those that are there with one stage's actors
    nodes = cluster.most if placement == "fused" else cluster.nodes
    pools = plan_pools(config, placement, stages, nodes, costs)
    check(config, pools, cluster)
    said = f"placement {placement} ({why}): actors {describe(pools)}"
    if placement == "pools":
        said += f", by {'measured' if measured else 'configured'} seconds per pair"
    return config, pools, said


def run_on_ray(
    config: RunConfig,
    output: str,
    shards: list[int],
    display: GenerationDisplay,
    totals: Totals,
    record: RayRecord,
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """As `chain.run`. Pools are planned anew for each Dataset, and where nodes are lost that do not come back."""
    with ray_session(logical_cpus(config)):
        stage_counts, casebook = (_beside_the_driver(kind) for kind in (StageCounts, Casebook))
        watch, left, said = StallWatch(config.stall_s), set(shards), ""
        with _watching(stage_counts, casebook, display, record, watch):
            while left:
                chosen, pools, plan = plan_now(config, totals)
                if plan != said:
                    say(said := plan)
                watch.restart()
                some = sorted(left)[:SHARDS_PER_DATASET]
                try:
                    for row in _dataset(chosen, output, some, pools, stage_counts, casebook, watch).iter_rows():
                        left.discard(row["shard"])
                        yield json.loads(row["counts"])
                except Stalled as stalled:
                    say(f"{stalled}: planning again")
                    storage = open_storage(output, config.output.endpoint_url)
                    for shard in sorted(left & committed_shards(storage)):  # on their way to us when the Dataset ended
                        left.discard(shard)
                        yield read_manifest(storage, shard)["info"]


@contextmanager
def _watching(
    stage_counts: Any, casebook: Any, display: GenerationDisplay, record: RayRecord, watch: StallWatch
) -> Iterator[None]:
    """Once a second brings the stages' figures to whom they concern, from a thread."""
    import ray

    stop, known_retries = threading.Event(), 0

    def look() -> None:
        nonlocal known_retries
        stages, retries = ray.get([stage_counts.snapshot.remote(), casebook.retries.remote()])
        display.update(stages)
        watch.note(stages)
        record("toffee_retries", retries - known_retries)  # a casebook that was replaced counts anew
        known_retries = retries
        record.refresh()

    def keep_looking() -> None:
        while not stop.wait(1.0):
            look()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        look()


def _beside_the_driver(kind: type[Any]) -> Any:
    """An actor of this class on the driver's node, which no autoscaler takes away."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": node}
    return ray.remote(**options)(kind).remote()


def _dataset(
    config: RunConfig,
    output: str,
    shards: list[int],
    pools: list[Pool],
    stage_counts: Any,
    casebook: Any,
    watch: StallWatch,
) -> Any:
    """The Ray Dataset whose rows are the shards' counts: iterating over it computes and commits them."""
    import ray

    context = quiet_data_context()
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = -1  # Ray Data sees whole shards only, which may take an hour
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    context.custom_execution_callback_classes = [watch.callback()]
    dataset = ray.data.range(len(shards), override_num_blocks=len(shards)).map(
        _read, fn_args=(config.model_dump_json(), shards)
    )
    for pool in pools:
        with warnings.catch_warnings():
            # Ray Data's own strategy spreads shares of GPUs and leaves no GPU whole; to ask for another is deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            dataset = dataset.map(
                type(pool.label, (RayChain,), {"names": pool.stages}),  # the class name is the dashboard's label
                fn_constructor_args=(config, output, stage_counts, casebook, max(1, int(pool.num_cpus))),
                compute=_strategy(pool, len(shards)),
                num_cpus=pool.num_cpus,
                num_gpus=pool.num_gpus,
                scheduling_strategy="DEFAULT",
            )
    dataset = dataset.map(write_row, fn_args=(config, output), num_cpus=0.5)
    dataset.set_name("toffee")
    return dataset


def _strategy(pool: Pool, num_shards: int) -> Any:
    """A pool grows where nodes with GPUs join. One shard at a time per actor: a queue at each would leave the last ones
    to few actors, and more to redo where a node is lost."""
    from ray.data import ActorPoolStrategy

    size = min(pool.num_actors, num_shards)
    # a pool that takes CPUs alone must not grow into those that are kept for reading and writing
    most = size if pool.fixed or pool.num_gpus == 0 else num_shards
    return ActorPoolStrategy(min_size=size, max_size=most, initial_size=size, max_tasks_in_flight_per_actor=1)
