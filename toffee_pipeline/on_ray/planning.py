"""The plan of a Dataset: the placement, kept while a run goes on, and its pools. Pure, as `placement`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.on_ray.placement import (
    Cluster,
    Pool,
    check,
    check_memory,
    choose,
    describe,
    gpu_memory_gib,
    least_pools,
    memory_needed_gib,
    plan_pools,
)


class Plan(NamedTuple):
    """config: with its placement chosen. why: it was."""

    config: DatasetConfig
    why: str
    pools: list[Pool]

    def __str__(self) -> str:
        return f"placement {self.config.placement} ({self.why}): actors {describe(self.pools)}"


def plan_dataset(
    config: DatasetConfig,
    stages: Sequence[str],
    cluster: Cluster,
    seconds_per_pair: Mapping[str, float],
    before: Plan | None = None,
) -> Plan:
    """The pools for the nodes that are there.

    Args:
        before: the last plan by which this run has made shards. Its placement stays as long as some GPU has the memory:
            a small one that has joined must not turn the run over, and no actor starts on it. A first plan goes by the
            smallest GPU, so that all are of use.

    Raises:
        PlacementError: the cluster can never hold them.
    """
    kept = before if before and _some_gpu_holds(before, stages, cluster) else None
    placement, why = (kept.config.placement, kept.why) if kept else choose(config, cluster)
    config = config.model_copy(update={"placement": placement})
    # each fused actor is of use alone, so that all may be asked for at once, which makes the autoscaler's nodes come;
    # pools that wait for nodes could fill those that are there with one stage's actors
    nodes = cluster.most if placement == "fused" else cluster.nodes
    pools = plan_pools(config, placement, stages, nodes, seconds_per_pair)
    for pool in () if kept else pools:
        check_memory(config, pool, gpu_memory_gib(cluster.nodes))
    check(config, pools, cluster)
    return Plan(config, why, pools)


def _some_gpu_holds(plan: Plan, stages: Sequence[str], cluster: Cluster) -> bool:
    """Of those that say what memory they have, if any does."""
    largest = max((node.gpu_memory_gib for node in cluster.nodes if node.gpu_memory_gib), default=None)
    pools = least_pools(plan.config, plan.config.placement, stages)
    return largest is None or all(memory_needed_gib(plan.config, pool) <= largest for pool in pools)
