"""Where the stages run and how many actors each gets, for the nodes of a cluster. Pure: Ray is asked elsewhere.

fused: one pool of actors, each of which holds all stages on its GPUs. pools: one pool of actors per stage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import PlacementError

SPARE_CPUS = 2
"""Kept free for the tasks that write: a pool that holds every CPU starves them and the job hangs in silence."""
EPSILON = 1e-6


@dataclass(frozen=True)
class Node:
    """What a node offers to Ray. gpu_memory_gib: of its smallest GPU; None where nobody could say."""

    num_cpus: float
    num_gpus: float = 0.0
    gpu_memory_gib: float | None = None


@dataclass(frozen=True)
class Cluster:
    """A cluster's nodes.

    nodes: those that are up.
    possible: those that may be up at once, where an autoscaler may add some; else the same.
    open_ended: an autoscaler is there and does not say what it may add, so that nothing can be called impossible.
    """

    nodes: tuple[Node, ...]
    possible: tuple[Node, ...] = ()
    open_ended: bool = False

    @property
    def most(self) -> tuple[Node, ...]:
        return self.possible or self.nodes


class Pool(NamedTuple):
    """Actors that run some stages in a row. fixed: their number is the config's, not the planner's."""

    label: str
    stages: tuple[str, ...]
    num_actors: int
    num_cpus: float
    num_gpus: float
    fixed: bool = False

    @property
    def num_threads(self) -> int:
        """Of torch, in each actor; as `FusedConfig.num_threads`."""
        return max(1, int(self.num_cpus))


class Capacity:
    """What is free on some nodes; actors reserve of it one at a time.

    As in Ray, an actor lies on one node, and a share of a GPU on one GPU.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        # nodes without a GPU first, so that what needs none leaves the others alone
        ordered = sorted(nodes, key=lambda node: node.num_gpus)
        self._cpus = [node.num_cpus for node in ordered]
        self._gpus = [[1.0] * math.floor(node.num_gpus + EPSILON) for node in ordered]

    def reserve(self, num_cpus: float, num_gpus: float) -> bool:
        """Takes what an actor needs on the first node that has it; False where none has."""
        for index, gpus in enumerate(self._gpus):
            if self._cpus[index] + EPSILON < num_cpus:
                continue
            if num_gpus < 1:
                fitting = sorted((free, gpu) for gpu, free in enumerate(gpus) if free + EPSILON >= num_gpus)
                taken, share = [gpu for _, gpu in fitting[:1]], num_gpus
            else:
                taken = [gpu for gpu, free in enumerate(gpus) if free + EPSILON >= 1][: math.ceil(num_gpus)]
                share = 1.0
            if num_gpus > 0 and len(taken) < max(1, math.ceil(num_gpus)):
                continue
            self._cpus[index] -= num_cpus
            for gpu in taken:
                gpus[gpu] -= share
            return True
        return False

    def reserve_pools(self, pools: Iterable[Pool]) -> str | None:
        """Reserves for all actors, those with most GPUs first. The label of the first pool that does not fit."""
        for pool in sorted(pools, key=lambda pool: (-pool.num_gpus, -pool.num_cpus)):
            for _ in range(pool.num_actors):
                if not self.reserve(pool.num_cpus, pool.num_gpus):
                    return pool.label
        return None


def choose(config: DatasetConfig, cluster: Cluster) -> tuple[str, str]:
    """(placement, why). `auto` is fused where a GPU holds all stages: balanced by construction, and the fewest objects
    on the move. Elsewhere it is pools."""
    if config.placement != "auto":
        return config.placement, "as configured"
    if config.device == "cpu" or config.fused.num_gpus == 0:
        return "fused", "no stage asks for a GPU"
    needed, there = config.fused.gpu_memory_gib, gpu_memory_gib(cluster.nodes)
    if not needed:
        return "fused", "the stages do not say what GPU memory they need"
    if there is None:
        return "fused", f"all stages need {needed:g} GiB of GPU memory, and no GPU is up yet that says what it has"
    if needed <= there * config.fused.num_gpus:
        return "fused", f"all stages need {needed:g} GiB of GPU memory, and the smallest GPU has {there:.0f}"
    return "pools", f"all stages need {needed:g} GiB of GPU memory, and the smallest GPU has only {there:.0f}"


def gpu_memory_gib(nodes: Iterable[Node]) -> float | None:
    """Of the smallest GPU; None where it is not known."""
    return min((node.gpu_memory_gib for node in nodes if node.gpu_memory_gib), default=None)


def least_pools(config: DatasetConfig, placement: str, stages: Sequence[str]) -> list[Pool]:
    """The pools with as many actors as configured, and with one where the planner finds the number.

    A stage without resources of its own goes with the stage before it; the first with the one behind it.
    """
    if placement != "pools":
        own, number = config.fused, config.fused.num_actors
        return [Pool("AllStages", tuple(stages), number or 1, own.num_cpus, own.num_gpus, number is not None)]
    pools: list[Pool] = []
    first: tuple[str, ...] = ()
    for name in stages:
        if name in config.model_stages:
            stage = config.stage(name)
            fixed = stage.num_actors is not None
            names, first = (*first, name), ()
            pools.append(Pool(name.title(), names, stage.num_actors or 1, stage.num_cpus, stage.num_gpus, fixed))
        elif not pools:
            first = (*first, name)
        else:
            pools[-1] = pools[-1]._replace(stages=(*pools[-1].stages, name))
    return pools


def plan_pools(
    config: DatasetConfig,
    placement: str,
    stages: Sequence[str],
    nodes: Sequence[Node],
    seconds_per_pair: Mapping[str, float],
) -> list[Pool]:
    """The pools that make the slowest stage fastest: n actors of a stage that takes c seconds per planned pair can do
    n / c pairs per second, and the pipeline does the least of these.

    An actor is added to the slowest pool again and again until none fits, which no other order of adding beats; two
    CPUs stay free. Where the nodes do not even hold one actor of each, that is the plan all the same: nodes may join.

    Args:
        seconds_per_pair: of each stage that computes with models, over all planned pairs (pairs that an earlier stage
            rejected count, with 0).
    """
    pools = least_pools(config, placement, stages)
    free = Capacity(nodes)
    for _ in range(SPARE_CPUS):
        free.reserve(1, 0)
    if free.reserve_pools(pools) is not None:
        return pools

    def rate(index: int) -> float:
        cost = sum(seconds_per_pair.get(stage, 0.0) for stage in pools[index].stages)
        return pools[index].num_actors / cost if cost > 0 else math.inf

    while True:
        slowest = min(range(len(pools)), key=rate)
        pool = pools[slowest]
        # with no cost or no need there is nothing to gain, and no end
        endless = pool.num_cpus <= 0 and pool.num_gpus <= 0
        if pool.fixed or rate(slowest) == math.inf or endless or not free.reserve(pool.num_cpus, pool.num_gpus):
            return pools
        pools[slowest] = pool._replace(num_actors=pool.num_actors + 1)


def check(config: DatasetConfig, pools: Sequence[Pool], cluster: Cluster) -> None:
    """Raises PlacementError, which names what is missing, where the cluster can never hold the pools with a CPU left to
    read and write."""
    if cluster.open_ended:
        return
    most, remedy = cluster.most, "lower stages.*.num_actors or fused.num_actors, or add nodes"
    for pool in pools:
        if not Capacity(most).reserve(pool.num_cpus, pool.num_gpus):
            best = max(most, key=lambda node: (node.num_gpus, node.num_cpus), default=Node(0))
            raise PlacementError(
                f"an actor of {pool.label} needs {_amount(pool.num_cpus, pool.num_gpus)} on one node, and the best "
                f"node has {_amount(best.num_cpus, best.num_gpus)}: lower its num_cpus or num_gpus, or use other nodes"
            )
    needs = {
        "CPU": sum(pool.num_actors * pool.num_cpus for pool in pools) + 1,
        "GPU": sum(pool.num_actors * pool.num_gpus for pool in pools),
    }
    check_room("the actors, reading and writing", needs, cluster, remedy)
    if (label := first_that_does_not_fit(pools, most)) is not None:
        raise PlacementError(
            f"the cluster has CPUs and GPUs enough, but split over its nodes they leave no room for {label}: {remedy}"
        )


def check_room(who: str, needs: Mapping[str, float], cluster: Cluster, remedy: str) -> None:
    """Raises PlacementError where the cluster can never have as many CPUs or GPUs: Ray would wait in silence."""
    have = {"CPU": sum(node.num_cpus for node in cluster.most), "GPU": sum(node.num_gpus for node in cluster.most)}
    for resource, needed in needs.items():
        if needed > have[resource] + EPSILON and not cluster.open_ended:
            raise PlacementError(f"{who} need {needed:g} {resource}s and the cluster has {have[resource]:g}: {remedy}")


def memory_needed_gib(config: DatasetConfig, pool: Pool) -> float:
    """What a GPU must have for an actor's share of it to suffice; 0: not known, or none is needed."""
    of_stages = [config.stage(name).gpu_memory_gib for name in pool.stages if name in config.model_stages]
    needed = config.fused.gpu_memory_gib if config.placement == "fused" else of_stages[0]
    return needed / pool.num_gpus if pool.num_gpus > 0 else 0.0


def check_memory(config: DatasetConfig, pool: Pool, smallest_gib: float | None) -> None:
    """Raises PlacementError where the smallest GPU, of a cluster or a node, has too little memory for the pool's
    stages. None: nobody knows what it has."""
    needed = memory_needed_gib(config, pool)
    if smallest_gib is not None and needed > smallest_gib:
        others = "use placement=pools" if config.placement == "fused" else "raise its num_gpus"
        raise PlacementError(
            f"an actor of {pool.label} needs {needed * pool.num_gpus:g} GiB of GPU memory, and {pool.num_gpus:g} of "
            f"the smallest GPU has {smallest_gib * pool.num_gpus:.0f}: {others}, lower batch_size (and gpu_memory_gib "
            "with it), or use other GPUs"
        )


def _amount(num_cpus: float, num_gpus: float) -> str:
    return f"{num_cpus:g} CPUs and {num_gpus:g} GPUs"


def first_that_does_not_fit(pools: Sequence[Pool], nodes: Iterable[Node]) -> str | None:
    """The label of a pool that these nodes have no room for, reading and writing among the pools; None if all fit."""
    return Capacity(nodes).reserve_pools([*pools, Pool("reading and writing", (), 1, 1, 0)])


def describe(pools: Sequence[Pool]) -> str:
    """Such as "2 Synthesize, 1 Segment"."""
    return ", ".join(f"{pool.num_actors} {pool.label}" for pool in pools)
