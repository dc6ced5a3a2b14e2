"""Classes below their quota."""

from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.shortfall import Shortfall, shortfalls

COUNTS = ShardCounts(
    by_class={
        "boat": {"planned": 4, "accepted": 1, "rejected": 3, "low_dino": 2, "low_clip": 1},
        "cake": {"planned": 4, "accepted": 2, "rejected": 2, "low_dino": 2},
        "lamp": {"planned": 9, "failed": 6, "rejected": 3, "low_dino": 3},
        "mug": {"planned": 3, "accepted": 3},
    }
)


def test_the_class_that_lacks_most_comes_first_with_its_main_reason():
    assert shortfalls(COUNTS, 0.5) == [
        Shortfall("lamp", accepted=0, planned=9, missing=5, reason="failed"),
        Shortfall("boat", accepted=1, planned=4, missing=1, reason="low_dino"),
    ]


def test_without_a_quota_or_where_it_is_met_there_is_none():
    assert shortfalls(COUNTS, None) == shortfalls(COUNTS, 0) == []
    assert [short.class_name for short in shortfalls(COUNTS, 1)] == ["lamp", "boat", "cake"]
