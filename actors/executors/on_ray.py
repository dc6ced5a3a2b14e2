"""The stages on Ray: each shard is a row of a Ray Dataset and goes through pools of actors."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from actors.context import RunContext
from actors.executors.ray_rows import RayChain, RunRecord, write_row
from actors.stage import StageTable
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.on_ray.placement import SPARE_CPUS, Pool, check, choose, describe, least_pools, plan_pools
from toffee_pipeline.on_ray.pool_costs import SHARDS_PER_DATASET, PoolCosts, next_shards
from toffee_pipeline.on_ray.session import (
    beside_the_driver,
    num_cores,
    quiet_data_context,
    ray_session,
    read_cluster,
)
from toffee_pipeline.on_ray.stall import Stalled, StallWatch
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.manifests import committed_shards, read_manifest
from toffee_pipeline.storage import open_storage
from toffee_pipeline.storage.patience import Seldom


def logical_cpus(config: DatasetConfig, stages: StageTable) -> int:
    """Of a Ray on this machine: as many as the actors ask for, and the spare ones."""
    least = least_pools(config, config.placement, list(stages))
    return max(num_cores(), math.ceil(sum(pool.num_actors * pool.num_cpus for pool in least))) + SPARE_CPUS


def plan_now(stages: StageTable, config: DatasetConfig, costs: PoolCosts) -> tuple[DatasetConfig, list[Pool], str]:
    """The config with its placement chosen, the pools for the nodes that are there, and both in words.

    Raises PlacementError where the cluster can never hold them.
    """
    cluster = read_cluster(with_gpu_memory=config.device != "cpu")
    placement, why = choose(config, cluster)
    config = config.model_copy(update={"placement": placement})
    # each fused actor is of use alone, so that all may be asked for at once, which makes the autoscaler's nodes come;
    # pools that wait for nodes could fill those that are there with one stage's actors
    nodes = cluster.most if placement == "fused" else cluster.nodes
    pools = plan_pools(config, placement, list(stages), nodes, costs.seconds)
    check(config, pools, cluster)
    said = f"placement {placement} ({why}): actors {describe(pools)}"
    if placement == "pools":
        said += f", by {'measured' if costs.measured else 'configured'} seconds per pair"
    return config, pools, said


def run(
    stages: StageTable, context: RunContext, shards: Sequence[int], shards_per_dataset: int = SHARDS_PER_DATASET
) -> Generator[ShardCounts]:
    """As `actors.executors.run`. Pools are planned anew for each Dataset, by what the run has measured, and where nodes
    are lost that do not come back."""
    config, output, totals = context.config, context.output, context.totals
    costs = PoolCosts({name: config.stage(name).seconds_per_pair for name in stages if name in config.model_stages})
    with ray_session(logical_cpus(config, stages)):
        record = beside_the_driver(RunRecord)
        watch, left, said = StallWatch(config.stall_s), set(shards), ""
        with _watching(record, context, watch):
            while left:
                costs.update(totals.planned, {name: figures.seconds for name, figures in totals.stages.items()})
                watch.restart()
                chosen, pools, plan = plan_now(stages, config, costs)
                if plan != said:
                    context.say(said := plan)
                some = sorted(left)[: next_shards(pools, totals.shards, len(left), shards_per_dataset)]
                shared = (chosen, output, record)
                actors = [(pool, ([stages[name] for name in pool.stages], *shared, pool.num_threads)) for pool in pools]
                try:
                    for row in _dataset(chosen, output, some, actors, watch, record).iter_rows():
                        left.discard(row["shard"])
                        yield ShardCounts.model_validate_json(row["counts"])
                except Stalled as stalled:
                    context.say(f"{stalled}: planning again")
                    storage = open_storage(output, config.output.endpoint_url)
                    for shard in sorted(left & committed_shards(storage)):  # on their way to us when the Dataset ended
                        left.discard(shard)
                        yield read_manifest(storage, shard).counts


@contextmanager
def _watching(record: Any, context: RunContext, watch: StallWatch) -> Iterator[None]:
    """Once a second brings the stages' figures to whom they concern, from a thread."""
    import ray

    stop, known_retries, say_wait = threading.Event(), 0, Seldom(context.say)

    def look() -> None:
        nonlocal known_retries
        stages, retries, note = ray.get([record.snapshot.remote(), record.retries.remote(), record.take_note.remote()])
        if note:
            say_wait(note)
        context.show(stages)
        watch.note(stages)
        context.metrics("toffee_retries", retries - known_retries)  # a record that was replaced counts anew
        known_retries = retries
        context.metrics.refresh()

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


def _dataset(
    config: DatasetConfig,
    output: str,
    shards: Sequence[int],
    actors: Sequence[tuple[Pool, tuple[Any, ...]]],
    watch: StallWatch,
    record: Any,
) -> Any:
    """The Ray Dataset whose rows are the shards' counts: iterating over it computes and commits them.

    actors: each pool, and the arguments of its actors' `RayChain`. record: an actor of a `RunRecord`.
    """
    import ray

    context = quiet_data_context()
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = -1  # Ray Data sees whole shards only, which may take an hour
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    context.custom_execution_callback_classes = [watch.callback()]
    dataset: Any = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    for pool, arguments in actors:
        with warnings.catch_warnings():
            # Ray Data's own strategy spreads shares of GPUs and leaves no GPU whole; to ask for another is deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            dataset = dataset.map(
                type(pool.label, (RayChain,), {}),  # the class name is the dashboard's label
                fn_constructor_args=arguments,
                compute=_strategy(pool, len(shards)),
                num_cpus=pool.num_cpus,
                num_gpus=pool.num_gpus,
                scheduling_strategy="DEFAULT",
            )
    dataset = dataset.map(write_row, fn_args=(config, output, record), num_cpus=0.5)
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
