"""Wall time with a pool of whole GPUs for each stage over that with placement auto, for the same shards.

A simulation (`simulation.py`) of the pools that the scheduling code itself plans: `choose` and `plan_pools`, on nodes
of up to eight GPUs of 80 GiB, by the stages' seconds. Shards and their seconds are those of the sdxl profile with
rejections (`stub_pipeline.py`). Where there are fewer GPUs than stages, neighbours share a pool, split where the
slowest pool is fastest: no pools of one GPU each could do better.

    ratio_N = wall time with whole-GPU pools / wall time with auto
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from actors.cost_plan import nodes_of
from benchmarks.record import Record, json_option
from benchmarks.simulation import wall_s
from benchmarks.stub_pipeline import PAIRS_PER_SHARD, seconds_asked, stub_config
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.on_ray.placement import Cluster, Node, Pool, choose, describe, plan_pools

GPU_GIB = 80.0


def cluster_of(num_gpus: int) -> Cluster:
    return Cluster(tuple(Node(node.num_cpus, node.num_gpus, GPU_GIB) for node in nodes_of(num_gpus)))


def auto_pools(config: RunConfig, num_gpus: int, costs: Mapping[str, float]) -> list[Pool]:
    """As the job plans them."""
    cluster = cluster_of(num_gpus)
    placement, _ = choose(config, cluster)
    return plan_pools(config, placement, list(costs), cluster.nodes, costs)


def whole_gpu_pools(config: RunConfig, num_gpus: int, costs: Mapping[str, float]) -> list[Pool]:
    """A pool per stage, each actor with a GPU of its own."""
    stages = list(costs)
    if num_gpus < len(stages):
        return one_gpu_each(costs, num_gpus)
    for stage in stages:
        config = config.with_stage(stage, num_gpus=1.0)
    return plan_pools(config, "pools", stages, cluster_of(num_gpus).nodes, costs)


def one_gpu_each(costs: Mapping[str, float], num_pools: int) -> list[Pool]:
    """The stages in as many groups of neighbours, whose slowest is as fast as can be."""

    def groups(cuts: Sequence[int]) -> list[list[str]]:
        return [list(costs)[start:end] for start, end in itertools.pairwise((0, *cuts, len(costs)))]

    def slowest(cuts: Sequence[int]) -> float:
        return max(sum(costs[stage] for stage in group) for group in groups(cuts))

    best = min(itertools.combinations(range(1, len(costs)), num_pools - 1), key=slowest)
    return [Pool("+".join(group), tuple(group), 1, 1.0, 1.0) for group in groups(best)]


@click.command(help=__doc__)
@click.option("--gpus", default=(4, 8, 16, 32, 64), type=int, multiple=True, show_default=True)
@click.option("--shards-per-gpu", default=30, show_default=True)
@click.option("--quick", is_flag=True, help="Up to 8 GPUs, five shards for each.")
@json_option
def main(gpus: tuple[int, ...], shards_per_gpu: int, quick: bool, path: Path | None) -> None:
    if quick:
        gpus, shards_per_gpu = (4, 8), 5
    record = Record("placement", path)
    config = stub_config(max(gpus) * shards_per_gpu * PAIRS_PER_SHARD)
    shards = seconds_asked(config)
    num_pairs = PAIRS_PER_SHARD * len(shards)
    costs = {stage: sum(shard[stage] for shard in shards) / num_pairs for stage in shards[0]}
    record.add(
        conditions=f"simulated: our planner, Ray Data as queues; sdxl profile's seconds with rejections, "
        f"{shards_per_gpu} shards of {PAIRS_PER_SHARD} pairs per GPU",
        **{f"{stage}_s": cost for stage, cost in costs.items()},
    )
    for num_gpus in gpus:
        some = shards[: num_gpus * shards_per_gpu]
        auto, whole = (plan(config, num_gpus, costs) for plan in (auto_pools, whole_gpu_pools))
        auto_s, whole_s = wall_s(auto, some), wall_s(whole, some)
        record.add(**{f"auto_{num_gpus}": describe(auto), f"whole_{num_gpus}": describe(whole)})
        record.add(**{f"auto_s_{num_gpus}": auto_s, f"whole_s_{num_gpus}": whole_s})
        record.add(**{f"ratio_{num_gpus}": whole_s / auto_s})


if __name__ == "__main__":
    main()
