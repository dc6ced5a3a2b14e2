"""The Ray Dataset of a run's shards."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from actors.executors.ray_rows import RayChain, write_row
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.on_ray.placement import Pool
from toffee_pipeline.on_ray.session import quiet_data_context
from toffee_pipeline.on_ray.stall import StallWatch


def shards_dataset(
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
