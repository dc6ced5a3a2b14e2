"""How long shards take through pools of actors, by events and without waiting: what `placement.py` plans, run on paper.

Of the scheduling it has what our own code decides, the pools; Ray Data is taken for a queue in front of each pool from
which a free actor takes the shard that came first, moving costs nothing, and queues never fill. Pools gain by that and
a single pool does not.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from toffee_pipeline.on_ray.placement import Pool


def wall_s(pools: Sequence[Pool], shards: Sequence[Mapping[str, float]]) -> float:
    """From the first shard's start to the last one's end, fill and drain inside.

    shards: seconds of each stage, in the order in which they are asked for.
    """
    arrivals = [(0.0, number) for number in range(len(shards))]
    for pool in pools:
        free = [0.0] * pool.num_actors
        ended = []
        for arrived, number in sorted(arrivals):
            seconds = sum(shards[number].get(stage, 0.0) for stage in pool.stages)
            end = max(arrived, heapq.heappop(free)) + seconds
            heapq.heappush(free, end)
            ended.append((end, number))
        arrivals = ended
    return max((end for end, _ in arrivals), default=0.0)
