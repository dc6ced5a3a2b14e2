"""Placement by arithmetic: what fits, what is refused, and that no other numbers of actors would be faster."""

import itertools

import pytest

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import MODEL_STAGES, STAGES
from toffee_pipeline.errors import PlacementError
from toffee_pipeline.on_ray.placement import (
    Capacity,
    Cluster,
    Node,
    Pool,
    check,
    check_memory,
    choose,
    describe,
    first_that_does_not_fit,
    least_pools,
    plan_pools,
)

P4D = Node(96, 8, 39.4)
P4DE = Node(96, 8, 79.1)
HEAD = Node(0)
COSTS = {
    "synthesize": 0.75,
    "segment": 0.2,
    "depth": 0.05,
    "draft": 3.95,
    "refine": 1.5,
    "edit": 0.7,
    "view": 1.5,
    "score": 0.02,
}


@pytest.mark.parametrize(("num_cpus", "threads"), [(0, 1), (0.5, 1), (1, 1), (2.9, 2), (8, 8)])
def test_an_actor_with_all_stages_has_the_threads_of_a_run_without_ray(num_cpus, threads):
    config = load_config("sdxl", (f"fused.num_cpus={num_cpus}",))
    (pool,) = least_pools(config, "fused", STAGES)
    assert pool.num_threads == config.fused.num_threads == threads


def pools_of(*nodes, overrides=(), costs=COSTS, placement="pools"):
    config = load_config("sdxl", (f"placement={placement}", *overrides))
    return config, plan_pools(config, placement, STAGES, nodes, costs)


def numbers(pools):
    return {pool.label.lower(): pool.num_actors for pool in pools}


def rate(counts, costs):
    return min(counts[stage] / costs[stage] for stage in counts)


def test_capacity_is_packed_as_ray_does():
    free = Capacity([Node(4, 2)])
    assert free.reserve(1, 0.5) and free.reserve(1, 1)
    assert not free.reserve(1, 1)  # half of a GPU is left, which no actor of a whole one can take
    assert free.reserve(1, 0.5) and not free.reserve(1, 0.5)
    assert free.reserve(1, 0) and not free.reserve(1, 0)
    assert not Capacity([Node(4, 1), Node(4, 1)]).reserve(1, 2)  # an actor lies on one node
    assert Capacity([Node(4, 2)]).reserve(1, 2)


def test_what_needs_no_gpu_leaves_gpu_nodes_alone():
    free = Capacity([Node(1, 1), Node(1, 0)])
    assert free.reserve(1, 0) and free.reserve(1, 1)


def test_fused_takes_every_gpu_and_leaves_cpus_to_read_and_write():
    _, (pool,) = pools_of(HEAD, P4DE, P4DE, placement="fused")
    assert (pool.num_actors, pool.num_gpus) == (16, 1)
    nano = load_config("nano", ("placement=fused",))
    (pool,) = plan_pools(nano, "fused", MODEL_STAGES, [Node(16)], COSTS)
    assert pool.num_actors == 14


@pytest.mark.parametrize("num_nodes", [1, 2])
def test_no_other_numbers_make_the_slowest_stage_faster(num_nodes):
    nodes = [HEAD, *[P4D] * num_nodes]
    config, pools = pools_of(*nodes)
    planned = rate(numbers(pools), COSTS)
    assert first_that_does_not_fit(pools, nodes) is None
    # the fewest actors of each stage that would beat the plan do not fit
    faster = [pool._replace(num_actors=int(planned * COSTS[pool.label.lower()]) + 1) for pool in pools]
    assert rate(numbers(faster), COSTS) > planned
    assert first_that_does_not_fit(faster, nodes) is not None


def test_a_small_plan_is_the_best_of_all_plans():
    costs = {"synthesize": 1.0, "draft": 3.0, "score": 0.5}
    config = load_config("sdxl", ("placement=pools", "stages.score.num_gpus=1"))
    nodes = [Node(32, 7)]
    best = max(
        rate(dict(zip(costs, counts, strict=True)), costs)
        for counts in itertools.product(range(1, 8), repeat=3)
        if sum(counts) <= 7
    )
    assert rate(numbers(plan_pools(config, "pools", list(costs), nodes, costs)), costs) == best


def test_a_number_that_is_configured_stays():
    _, pools = pools_of(P4D, P4D, P4D, P4D, overrides=("stages.view.num_actors=2",))
    assert numbers(pools)["view"] == 2
    assert [pool.label for pool in pools if pool.fixed] == ["View"]


def test_where_not_even_one_of_each_fits_the_plan_waits_for_nodes():
    config, pools = pools_of(HEAD)
    assert set(numbers(pools).values()) == {1}
    with pytest.raises(PlacementError, match=r"an actor of Synthesize needs 1 CPUs and 1 GPUs on one node"):
        check(config, pools, Cluster((HEAD,)))
    check(config, pools, Cluster((HEAD,), possible=(HEAD, P4D)))  # the autoscaler may add it
    check(config, pools, Cluster((HEAD,), open_ended=True))  # and here nobody knows


def test_what_can_never_fit_is_refused_with_figures():
    config, pools = pools_of(Node(64, 1))
    with pytest.raises(PlacementError, match=r"need 6 GPUs and the cluster has 1: "):
        check(config, pools, Cluster((Node(64, 1),)))
    with pytest.raises(PlacementError, match=r"need 9 CPUs and the cluster has 6: "):
        check(config, pools, Cluster((Node(6, 8),)))
    check(config, pools, Cluster((Node(9, 6),)))
    # six GPUs in all, but the actor of two finds them on no node
    wide, pools = pools_of(Node(64, 1), overrides=("stages.draft.num_gpus=2",))
    with pytest.raises(PlacementError, match="Draft needs 1 CPUs and 2 GPUs on one node, and the best node has 64"):
        check(wide, pools, Cluster((Node(64, 1),) * 8))
    with pytest.raises(PlacementError, match="split over its nodes they leave no room for"):
        check(wide, pools, Cluster((Node(64, 3), Node(64, 1.5), Node(64, 1.5), Node(64, 1.5))))


def test_gpu_memory_is_checked_before_anything_is_loaded():
    config, pools = pools_of(P4D, placement="fused")
    with pytest.raises(PlacementError, match=r"AllStages needs 44 GiB of GPU memory, and 1 of the smallest GPU has 39"):
        check_memory(config, pools[0], 39.4)
    check_memory(config, pools[0], 79.1)
    check_memory(config, pools[0], None)
    config, pools = pools_of(P4D, overrides=("stages.segment.num_gpus=0.2",))
    with pytest.raises(PlacementError, match=r"Segment needs 10 GiB of GPU memory, and 0\.2 of .* has 8: raise its"):
        check_memory(config, next(pool for pool in pools if pool.label == "Segment"), 39.4)


@pytest.mark.parametrize(
    ("node", "placement", "reason"),
    [
        (P4DE, "fused", "all stages need 44 GiB of GPU memory, and the smallest GPU has 79"),
        (P4D, "pools", "the smallest GPU has only 39"),
        (HEAD, "fused", "no GPU is up yet"),
    ],
)
def test_auto_says_why(node, placement, reason):
    chosen, why = choose(load_config("sdxl"), Cluster((node,)))
    assert chosen == placement and reason in why


def test_without_gpus_auto_is_fused_and_what_is_configured_stays():
    assert choose(load_config("nano"), Cluster((Node(8),))) == ("fused", "no stage asks for a GPU")
    assert choose(load_config("nano", ("placement=pools",)), Cluster((Node(8),))) == ("pools", "as configured")


def test_free_stages_do_not_make_the_planner_add_for_ever():
    config = load_config("sdxl", ("placement=pools",))
    pools = plan_pools(config, "pools", MODEL_STAGES, [P4D], dict.fromkeys(MODEL_STAGES, 0.0))
    assert pools == least_pools(config, "pools", MODEL_STAGES)
    assert describe(pools[:2]) == "1 Synthesize, 1 Segment"
    nothing = Pool("Nothing", ("score",), 1, 0, 0)
    assert first_that_does_not_fit([nothing], [Node(1)]) is None


def test_a_stage_without_resources_goes_with_the_one_before_it_and_the_first_with_the_next():
    config, pools = pools_of(P4D, P4D)
    assert pools[0].stages == ("screen", "check_prompts", "synthesize") and pools[0].label == "Synthesize"
    assert pools[-1].stages == ("score", "judge") and pools[-1].label == "Score"
    assert [pool.label.lower() for pool in pools] == list(config.model_stages)
    check(config, pools, Cluster((P4D, P4D)))
    _, (fused,) = pools_of(P4DE, placement="fused")
    assert fused.stages == STAGES
