"""The stages on Ray: each shard is a row of a Ray Dataset and goes through pools of actors."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from actors.context import RunContext
from actors.executors.ray_rows import RunRecord
from actors.executors.shards_dataset import shards_dataset
from actors.executors.watching import Seen, watching
from actors.stage import StageTable
from actors.starts import LOAD_S, in_a_line
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import Stalled
from toffee_pipeline.on_ray.losses import Losses, is_failed_start, is_lost_process
from toffee_pipeline.on_ray.placement import SPARE_CPUS, least_pools
from toffee_pipeline.on_ray.planning import Plan, plan_dataset
from toffee_pipeline.on_ray.pool_costs import SHARDS_PER_DATASET, PoolCosts, next_shards
from toffee_pipeline.on_ray.session import (
    beside_the_driver,
    num_cores,
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
    config = context.config
    batch_s = max((config.stage(name).timeout_s for name in stages if name in config.model_stages), default=0.0)
    watch = StallWatch(config.stall_s, max(config.stall_s, 2 * batch_s + LOAD_S), context.say)
    with ray_session(logical_cpus(config, stages)):
        import ray  # noqa: F401  # reads as it is imported how it authenticates, which the session has set

        record = beside_the_driver(RunRecord)
        datasets = _Datasets(stages, context, set(shards), shards_per_dataset, record, watch)
        with watching(lambda: _look(record), context, lambda seen: watch.note(seen.stages, seen.held)):
            while datasets.left:
                yield from datasets.compute()


class _Datasets:
    """One Dataset after another, until no shard is `left`.

    record: an actor of a `RunRecord`.
    """

    def __init__(
        self,
        stages: StageTable,
        context: RunContext,
        left: set[int],
        shards_per_dataset: int,
        record: Any,
        watch: StallWatch,
    ) -> None:
        self.left = left
        self._stages, self._context, self._record, self._watch = stages, context, record, watch
        self._shards_per_dataset = shards_per_dataset
        config = context.config
        self._costs = PoolCosts(
            {name: config.stage(name).seconds_per_pair for name in stages if name in config.model_stages}
        )
        self._losses, self._said = Losses(), ""
        self._stalled, self._spare = False, 0
        self._good: Plan | None = None  # by which shards were made

    def compute(self) -> Generator[ShardCounts]:
        """Some of the shards that are left. Where processes were lost, what is not committed stays there."""
        import ray

        ray.get(self._record.begin_dataset.remote(forget=self._stalled))
        self._watch.restart()
        plan = self._plan()
        output, totals = self._context.output, self._context.totals
        size = next_shards(plan.pools, totals.shards, len(self.left), self._shards_per_dataset)
        some = sorted(self.left)[:size]
        most = size + self._spare  # as few actors as shards could all be given the machines that are to blame
        pools = [pool._replace(num_actors=min(pool.num_actors, most)) for pool in plan.pools]
        self._watch.follow(pools)
        shared = (plan.config, output, self._record)
        actors = [
            (pool, ([self._stages[name] for name in pool.stages], *shared, pool, pool is pools[0])) for pool in pools
        ]
        try:
            for row in shards_dataset(plan.config, output, some, actors, self._watch, self._record).iter_rows():
                self.left.discard(row["shard"])
                self._good = plan
                yield ShardCounts.model_validate_json(row["counts"])
        except Exception as error:
            self._raise_unless_lost(error)
            yield from self._committed_unseen()
            self._plan_again(error)

    def _plan(self) -> Plan:
        """Says it where it is another than the last."""
        config, totals = self._context.config, self._context.totals
        self._costs.update(totals.planned, {name: figures.seconds for name, figures in totals.stages.items()})
        cluster = read_cluster(with_gpu_memory=config.device != "cpu")
        plan = plan_dataset(config, list(self._stages), cluster, self._costs.seconds, self._good)
        words = str(plan)
        if plan.config.placement == "pools":
            words += f", by {'measured' if self._costs.measured else 'configured'} seconds per pair"
        if words != self._said:
            self._context.say(words)
        self._said = words
        return plan

    def _raise_unless_lost(self, error: Exception) -> None:
        """Raises the error of an actor that could not start anywhere as its own, where the user can mend it."""
        if is_failed_start(error) and (own := _own_error(self._record)):
            raise own from error
        if not isinstance(error, Stalled) and not is_lost_process(error):
            raise error

    def _committed_unseen(self) -> Iterator[ShardCounts]:
        """Of shards whose rows were on their way to us when the Dataset ended."""
        storage = open_storage(self._context.output, self._context.config.output.endpoint_url)
        for shard in sorted(self.left & committed_shards(storage)):
            self.left.discard(shard)
            yield read_manifest(storage, shard).counts

    def _plan_again(self, error: Exception) -> None:
        """Raises the error where Datasets end so again and again, with no shard between."""
        stall = error if isinstance(error, Stalled) else None
        self._stalled = self._stalled or stall is not None
        self._spare = max(self._spare, self._watch.held)
        if not (stall and stall.nodes_gone) and self._losses.too_many(len(self.left)):
            raise error
        self._context.say(f"{in_a_line(error)}: planning again")


def _own_error(record: Any) -> Exception | None:
    """Of the last actor that could not start, where the user can mend it."""
    import ray

    error: Exception | None = ray.get(record.error.remote())
    return error


def _look(record: Any) -> Seen:
    import ray

    methods = (record.snapshot, record.retries, record.take_note, record.take_said, record.held)
    return Seen(*ray.get([method.remote() for method in methods]))
