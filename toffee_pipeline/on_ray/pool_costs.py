"""What pools are planned by, and for how long a plan holds: the profile's seconds at first, then what the run takes.

A Dataset's pools stay as they are until it ends, and the next one's actors load their models again. So the first
Dataset is short where there is more than one pool, and each later one at most some times as long as all before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toffee_pipeline.on_ray.placement import Pool

MEASURED_PAIRS = 100
"""From so many pairs on, the run's own figures say what the stages cost."""
MOVED = 0.2
"""Smaller changes of a stage's share of all seconds are noise, for which no plan is changed."""
FIRST_SHARDS = 3
"""Of the first Dataset, for each actor of its largest pool."""
GROWTH = 10
SHARDS_PER_DATASET = 10_000
"""At most: what stages cost may move, and nodes come and go."""


class PoolCosts:
    """seconds: per planned pair, of each stage that computes with models. measured: else they are the config's."""

    def __init__(self, configured: Mapping[str, float]) -> None:
        self.seconds, self.measured = dict(configured), False

    def update(self, num_pairs: int, seconds: Mapping[str, float]) -> None:
        """Takes the run's own figures where they tell something new.

        Args:
            num_pairs: planned ones of all committed shards.
            seconds: that each stage took for them.
        """
        if num_pairs < MEASURED_PAIRS:
            return
        found = {stage: seconds.get(stage, 0.0) / num_pairs for stage in self.seconds}
        if not self.measured or moved(self.seconds, found):
            self.seconds, self.measured = found, True


def moved(before: Mapping[str, float], now: Mapping[str, float]) -> bool:
    """Whether a stage's share of all seconds has changed by more than `MOVED` of itself: pools go by shares alone."""
    whole_before, whole_now = sum(before.values()), sum(now.values())
    if not whole_before or not whole_now:
        return before != now
    return any(
        abs(now[stage] / whole_now - before[stage] / whole_before) > MOVED * before[stage] / whole_before
        for stage in before
    )


def next_shards(pools: Sequence[Pool], done: int, left: int, most: int = SHARDS_PER_DATASET) -> int:
    """How many shards the next Dataset has.

    Args:
        done, left: committed shards of the run, and missing ones.
        most: of any Dataset.
    """
    if len(pools) == 1:  # there is nothing to plan by costs
        return min(left, most)
    first = FIRST_SHARDS * max(pool.num_actors for pool in pools)
    few = max(first, GROWTH * done)
    return min(left if left <= 2 * few else few, most)  # a short rest is not worth a start of its own
