"""The stages on Ray: each shard is a row of a Ray Dataset and goes through pools of actors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Sequence
from typing import Any

from actors.context import RunContext
from actors.executors.ray_rows import RayChain, RunRecord, write_row
from actors.executors.watching import Seen, watching
from actors.stage import StageTable
from actors.starts import LOAD_S, in_a_line
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import Stalled
from toffee_pipeline.on_ray.losses import Losses, is_failed_start, is_lost_process
from toffee_pipeline.on_ray.placement import SPARE_CPUS, Pool, least_pools
from toffee_pipeline.on_ray.planning import Plan, plan_dataset
from toffee_pipeline.on_ray.pool_costs import SHARDS_PER_DATASET, PoolCosts, next_shards
from toffee_pipeline.on_ray.session import (
    beside_the_driver,
    num_cores,
    quiet_data_context,
    ray_session,
    read_cluster,
)
from toffee_pipeline.on_ray.stall import StallWatch
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.manifests import committed_shards, read_manifest
from toffee_pipeline.storage import open_storage


def logical_cpus(config: DatasetConfig, stages: StageTable) -> int:
    """Of a Ray on this machine: as many as the actors ask for, and the spare ones."""
    least = least_pools(config, config.placement, list(stages))
    return max(num_cores(), math.ceil(sum(pool.num_actors * pool.num_cpus for pool in least))) + SPARE_CPUS


def run(
    stages: StageTable, context: RunContext, shards: Sequence[int], shards_per_dataset: int = SHARDS_PER_DATASET
) -> Generator[ShardCounts]:
    """As `actors.executors.run`. Pools are planned anew for each Dataset, by what the run has measured, and where nodes
    or processes are lost that do not come back.

    Raises:
        PlacementError: the cluster can never hold the stages.
        RayError, Stalled: processes were lost or waited for again and again, and no shard was made between.
    """
    config, output, totals = context.config, context.output, context.totals
    names = [name for name in stages if name in config.model_stages]
    costs = PoolCosts({name: config.stage(name).seconds_per_pair for name in names})
    batch_s = max((config.stage(name).timeout_s for name in names), default=0.0)
    watch = StallWatch(config.stall_s, max(config.stall_s, 2 * batch_s + LOAD_S), context.say)
    with ray_session(logical_cpus(config, stages)):
        import ray  # reads as it is imported how it authenticates, which the session has set

        record = beside_the_driver(RunRecord)
        left, losses, said = set(shards), Losses(), ""
        good: Plan | None = None
        stalled, spare = False, 0
        with watching(lambda: _look(record), context, lambda seen: watch.note(seen.stages, seen.held)):
            while left:
                costs.update(totals.planned, {name: figures.seconds for name, figures in totals.stages.items()})
                ray.get(record.begin_dataset.remote(forget=stalled))
                watch.restart()
                cluster = read_cluster(with_gpu_memory=config.device != "cpu")
                plan = plan_dataset(config, list(stages), cluster, costs.seconds, good)
                if (words := _words(plan, costs)) != said:
                    context.say(said := words)
                some = sorted(left)[: next_shards(plan.pools, totals.shards, len(left), shards_per_dataset)]
                most = len(some) + spare  # as few actors as shards could all be given the machines that are to blame
                pools = [pool._replace(num_actors=min(pool.num_actors, most)) for pool in plan.pools]
                watch.follow(pools)
                shared = (plan.config, output, record)
                actors = [(pool, ([stages[name] for name in pool.stages], *shared, pool)) for pool in pools]
                try:
                    for row in _dataset(plan.config, output, some, actors, watch, record).iter_rows():
                        left.discard(row["shard"])
                        good = plan
                        yield ShardCounts.model_validate_json(row["counts"])
                except Exception as error:
                    if is_failed_start(error) and (own := _own_error(record)):
                        raise own from error
                    stall = error if isinstance(error, Stalled) else None
                    if stall is None and not is_lost_process(error):
                        raise
                    storage = open_storage(output, config.output.endpoint_url)
                    for shard in sorted(left & committed_shards(storage)):  # on their way to us when the Dataset ended
                        left.discard(shard)
                        yield read_manifest(storage, shard).counts
                    stalled, spare = stalled or stall is not None, max(spare, watch.held)
                    if not (stall and stall.nodes_gone) and losses.too_many(len(left)):
                        raise
                    context.say(f"{in_a_line(error)}: planning again")


def _words(plan: Plan, costs: PoolCosts) -> str:
    if plan.config.placement != "pools":
        return str(plan)
    return f"{plan}, by {'measured' if costs.measured else 'configured'} seconds per pair"


def _own_error(record: Any) -> Exception | None:
    """Of the last actor that could not start, where the user can mend it."""
    import ray

    error: Exception | None = ray.get(record.error.remote())
    return error


def _look(record: Any) -> Seen:
    import ray

    methods = (record.snapshot, record.retries, record.take_note, record.take_said, record.held)
    return Seen(*ray.get([method.remote() for method in methods]))


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

    size = pool.num_actors
    # a pool that takes CPUs alone must not grow into those that are kept for reading and writing
    most = size if pool.fixed or pool.num_gpus == 0 else max(size, num_shards)
    return ActorPoolStrategy(min_size=size, max_size=most, initial_size=size, max_tasks_in_flight_per_actor=1)
