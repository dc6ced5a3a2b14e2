"""What a run will cost: measured stages, the pass rates of a trial, and the planner of pools."""

from __future__ import annotations

from collections.abc import Sequence

from actors.chain import stages_of
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import STAGES
from toffee_pipeline.on_ray.placement import SPARE_CPUS, Node, least_pools, plan_pools
from toffee_pipeline.on_ray.session import num_cores
from toffee_pipeline.plan.costs import CostPlan, StageCost, per_accepted, reckoned_bytes_per_accepted
from toffee_pipeline.rundir.measurements import other_settings, read_measurements
from toffee_pipeline.rundir.pass_rates import read_pass_rates

GPUS = (1, 8, 64)
NODE_GPUS = 8
CPUS_PER_GPU = 12
"""As the common machines with eight GPUs have; reading and writing need few."""


def plan_costs(config: RunConfig, num_pairs: int, num_subjects: int) -> CostPlan:
    """Of a config that names its measurements, with their figures in it (`with_measurements`)."""
    assert config.measurements is not None
    found, rates = read_measurements(config.measurements), read_pass_rates(config)
    costs = {name: cost for name, cost in found.seconds_per_pair().items() if name in config.model_stages}
    by_stage = per_accepted(costs, rates.shares, STAGES)
    held = {name: config.num_gpus_of(name) for name in costs}
    reckoned = rates.bytes_per_accepted is None
    return CostPlan(
        device=found.device,
        differs=tuple(other_settings(config, found)),
        num_pairs=num_pairs,
        num_subjects=num_subjects,
        acceptance=rates.acceptance,
        rates_of=config.pass_rates,
        stages=tuple(
            StageCost(name, costs[name], rates.of(name), by_stage[name], by_stage[name] * held[name]) for name in costs
        ),
        bytes_per_accepted=reckoned_bytes_per_accepted(config) if reckoned else rates.bytes_per_accepted or 0.0,
        bytes_are_reckoned=reckoned,
        is_banked=config.player("subject") == "bank",
        price_per_gpu_hour=config.price_per_gpu_hour,
        wall_s=dict(_wall_s(config, num_pairs)),
    )


def _wall_s(config: RunConfig, num_pairs: int) -> list[tuple[str, float]]:
    """On clusters of several sizes, by the slowest pool; without start-up and the last shards' tail."""
    if config.device == "cpu" or config.fused.num_gpus == 0:
        cores = num_cores()
        clusters = {f"{cores} CPUs": [Node(cores + SPARE_CPUS)]}
    else:
        clusters = {f"{number} GPUs": nodes_of(number) for number in GPUS}
    walls = []
    for label, nodes in clusters.items():
        seconds = num_pairs * _seconds_per_pair(config, nodes)
        if seconds:
            walls.append((label, seconds))
    return walls


def nodes_of(num_gpus: int) -> list[Node]:
    """Of a cluster for a run on so many GPUs."""
    each = min(num_gpus, NODE_GPUS)
    return [Node(CPUS_PER_GPU * each + SPARE_CPUS, each)] * (num_gpus // each)


def _seconds_per_pair(config: RunConfig, nodes: Sequence[Node]) -> float:
    """Of the slowest pool; 0 where the nodes do not hold one actor of each."""
    placement = "pools" if config.placement == "pools" else "fused"
    stages = list(stages_of(config))
    costs = {name: config.stage(name).seconds_per_pair for name in config.model_stages if name in stages}
    pools = plan_pools(config, placement, stages, nodes, costs)
    if sum(pool.num_gpus * pool.num_actors for pool in least_pools(config, placement, stages)) > sum(
        node.num_gpus for node in nodes
    ):
        return 0.0
    return max(sum(costs.get(stage, 0.0) for stage in pool.stages) / pool.num_actors for pool in pools)
