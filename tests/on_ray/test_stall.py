"""When a Dataset waits in vain, and when it waits for nodes, which it may for hours."""

import pytest

from toffee_pipeline.errors import Stalled
from toffee_pipeline.on_ray.placement import Node, Pool
from toffee_pipeline.on_ray.stall import StallWatch

HEAD, GPU = Node(2), Node(4, 1)
FUSED = [Pool("AllStages", ("draft",), 64, 1, 1)]
TWO = [Pool("Draft", ("draft",), 1, 1, 1), Pool("Score", ("score",), 1, 1, 1)]


class Cluster:
    """A Dataset's watch, the nodes that it sees, and its time. stall_s 100, overdue_s 1000."""

    def __init__(self, pools, *nodes) -> None:
        self.nodes, self.now, self.said = list(nodes), 0.0, []
        self.watch = StallWatch(100, 1000, self.said.append, lambda: self.nodes, lambda: self.now)
        self.watch.restart()
        self.watch.follow(pools)

    def go_on_for(self, seconds) -> None:
        for _ in range(seconds // 10):
            self.now += 10
            self.watch.step()


def test_nodes_that_are_gone_end_a_dataset_once_nothing_is_computed():
    cluster = Cluster(FUSED, HEAD, GPU, GPU)
    cluster.go_on_for(90)
    cluster.nodes.pop()
    cluster.watch.note({"draft": (1, 1.0)}, 0)
    cluster.go_on_for(100)
    with pytest.raises(Stalled, match="110 s and nodes are gone: 6 CPUs and 1 GPUs are left of 10 and 2") as stalled:
        cluster.go_on_for(10)
    assert stalled.value.nodes_gone


def test_a_hang_ends_it_without_a_loss_and_not_before_it_must_be_one():
    cluster = Cluster(FUSED, HEAD, GPU)
    cluster.go_on_for(1000)
    with pytest.raises(Stalled, match="nothing was computed for 1010 s, and no node is gone"):
        cluster.go_on_for(10)
    cluster.watch.restart()
    for rows in range(5):
        cluster.go_on_for(900)
        cluster.watch.note({"draft": (rows, 1.0)}, 0)
    assert not cluster.said


def test_what_waits_for_an_actor_that_cannot_start_is_planned_again_as_after_a_loss():
    cluster = Cluster(FUSED, HEAD, GPU, GPU)
    cluster.watch.note({}, 1)
    cluster.go_on_for(100)
    with pytest.raises(Stalled, match="110 s: 1 of the actors cannot start") as stalled:
        cluster.go_on_for(10)
    assert not stalled.value.nodes_gone
    cluster.watch.restart()
    cluster.go_on_for(1000)  # that was the last Dataset's


def test_nodes_that_have_not_come_yet_are_waited_for_also_where_an_actor_cannot_start():
    cluster = Cluster(TWO, HEAD, GPU)
    cluster.watch.note({}, 1)
    cluster.go_on_for(3600)
    assert "no node that is up has room for Score; waiting" in cluster.said[0]


@pytest.mark.parametrize(("pools", "nodes"), [(FUSED, [HEAD]), (TWO, [HEAD, GPU])])
def test_nodes_that_have_not_come_yet_are_waited_for_and_it_is_said(pools, nodes):
    cluster = Cluster(pools, *nodes)
    cluster.go_on_for(36_000)
    label = pools[-1].label
    assert cluster.said[0] == f"nothing was computed for 110 s: no node that is up has room for {label}; waiting"
    assert 300 < len(cluster.said) < 400
    cluster.nodes.append(GPU)
    with pytest.raises(Stalled, match="no node is gone"):  # harmless: it is planned again
        cluster.go_on_for(10)
