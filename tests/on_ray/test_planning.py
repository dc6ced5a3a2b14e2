"""What becomes of a run's plan when nodes with other GPUs join it."""

import pytest

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import STAGES
from toffee_pipeline.errors import PlacementError
from toffee_pipeline.on_ray.placement import Cluster, Node
from toffee_pipeline.on_ray.planning import plan_dataset

LARGE, MIDDLE, SMALL, HEAD = Node(96, 8, 79.1), Node(96, 8, 39.4), Node(16, 1, 23.6), Node(0)
CONFIG = load_config("sdxl")


def plan(*nodes, before=None, config=CONFIG):
    return plan_dataset(config, STAGES, Cluster(nodes), {}, before)


@pytest.mark.parametrize(("size", "placement"), [(LARGE, "fused"), (MIDDLE, "pools")])
def test_a_small_node_that_joins_leaves_a_run_as_it_is(size, placement):
    first = plan(HEAD, size, size)
    assert first.config.placement == placement
    later = plan(HEAD, size, size, SMALL, before=first)
    assert (later.config.placement, later.why) == (placement, first.why)
    with pytest.raises(PlacementError, match="of GPU memory, and 1 of the smallest GPU has 24: "):
        plan(HEAD, size, size, SMALL)  # a first plan wants all of them to be of use


def test_a_run_whose_large_nodes_are_gone_is_placed_anew():
    first = plan(HEAD, LARGE)
    assert plan(HEAD, MIDDLE, before=first).config.placement == "pools"
    with pytest.raises(PlacementError, match="and 1 of the smallest GPU has 24: "):
        plan(HEAD, *[SMALL] * 8, before=first)


def test_a_node_that_cannot_say_its_memory_changes_nothing():
    first = plan(HEAD, LARGE)
    assert plan(HEAD, LARGE, Node(96, 8), before=first).config.placement == "fused"
    assert plan(HEAD, Node(96, 8), before=first).config.placement == "fused"
