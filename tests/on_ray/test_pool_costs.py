"""Pools follow what a run measures: when, by how much, and what a wrong profile costs."""

import random

import pytest

from benchmarks.simulation import wall_s
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import STAGES
from toffee_pipeline.on_ray.placement import Node, Pool, plan_pools
from toffee_pipeline.on_ray.pool_costs import PoolCosts, moved, next_shards

NODES = [Node(98, 8, 40.0)] * 2
PAIRS_PER_SHARD, START_S = 64, 120.0
CONFIG = load_config("sdxl", ("placement=pools",))
TRUE = {stage: CONFIG.stage(stage).seconds_per_pair for stage in STAGES if stage in CONFIG.model_stages}


def test_the_runs_figures_count_from_a_hundred_pairs_on_and_when_they_move_by_a_fifth():
    costs = PoolCosts({"draft": 1.0, "view": 1.0})
    costs.update(99, {"draft": 400.0, "view": 100.0})
    assert (costs.seconds, costs.measured) == ({"draft": 1.0, "view": 1.0}, False)
    costs.update(100, {"draft": 110.0, "view": 100.0})
    assert (costs.seconds, costs.measured) == ({"draft": 1.1, "view": 1.0}, True)
    costs.update(1000, {"draft": 1300.0, "view": 1000.0})  # noise
    assert costs.seconds == {"draft": 1.1, "view": 1.0}
    costs.update(1000, {"draft": 2000.0, "view": 1000.0})
    assert costs.seconds == {"draft": 2.0, "view": 1.0}


def test_costs_that_are_all_as_much_larger_move_nothing():
    assert not moved({"draft": 1.0, "view": 2.0}, {"draft": 3.0, "view": 6.0})
    assert moved({"draft": 1.0, "view": 0.0}, {"draft": 1.0, "view": 0.1})


def test_the_first_dataset_is_short_where_there_are_pools_and_later_ones_grow():
    pools = [Pool("Draft", ("draft",), 4, 1, 1), Pool("View", ("view",), 2, 1, 1)]
    assert next_shards(pools, 0, 10_000) == 12
    assert next_shards(pools, 12, 9_988) == 120
    assert next_shards(pools, 0, 20) == 20  # no second start for the rest of a small run
    assert next_shards(pools, 5_000, 20_000) == 10_000
    assert next_shards(pools[:1], 0, 5_000) == 5_000


def run_s(believed, shards):
    """Wall time of a run whose profile names these costs: as the executor on Ray plans, Dataset after Dataset."""
    costs, done, seconds = PoolCosts(believed), 0, 0.0
    while done < len(shards):
        costs.update(
            done * PAIRS_PER_SHARD, {stage: sum(shard[stage] for shard in shards[:done]) for stage in costs.seconds}
        )
        pools = plan_pools(CONFIG, "pools", STAGES, NODES, costs.seconds)
        number = next_shards(pools, done, len(shards) - done)
        seconds += START_S + wall_s(pools, shards[done : done + number])
        done += number
    return seconds


@pytest.mark.parametrize(
    "factors",
    [{"draft": 1 / 3}, {"draft": 3.0}, {"view": 3.0, "draft": 1 / 3}, {"refine": 1 / 3, "view": 1 / 3}],
    ids=str,
)
def test_a_profile_that_is_wrong_threefold_costs_a_run_less_than_a_twentieth(factors):
    draw = random.Random(0)
    shards = [
        {stage: cost * PAIRS_PER_SHARD * draw.uniform(0.8, 1.2) for stage, cost in TRUE.items()} for _ in range(2000)
    ]
    right = plan_pools(CONFIG, "pools", STAGES, NODES, TRUE)
    best = START_S + wall_s(right, shards)
    wrong = {**TRUE, **{stage: TRUE[stage] * factor for stage, factor in factors.items()}}
    assert plan_pools(CONFIG, "pools", STAGES, NODES, wrong) != right  # else nothing would have to be learnt
    assert run_s(wrong, shards) < 1.05 * best
