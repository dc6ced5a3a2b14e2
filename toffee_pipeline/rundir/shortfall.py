"""Classes that got fewer rows than their quota."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toffee_pipeline.filters import REASONS
from toffee_pipeline.rundir.counts import ShardCounts


@dataclass(frozen=True)
class Shortfall:
    """A class below its quota. missing: rows that it lacks; reason: why most of its rows are not in the dataset,
    one of `filters.REASONS` or "failed"."""

    class_name: str
    accepted: int
    planned: int
    missing: int
    reason: str


def shortfalls(counts: ShardCounts, quota: float | None) -> list[Shortfall]:
    """The classes of which less than the share `quota` of the planned rows is accepted, those that lack most first."""
    if quota is None:
        return []
    found = []
    for name, numbers in counts.by_class.items():
        lost = {key: number for key, number in numbers.items() if key == "failed" or key in REASONS}
        accepted, planned = numbers.get("accepted", 0), numbers["planned"]
        missing = math.ceil(quota * planned) - accepted
        if missing > 0:
            found.append(Shortfall(name, accepted, planned, missing, max(lost, key=lambda key: lost[key], default="")))
    return sorted(found, key=lambda shortfall: (-shortfall.missing, shortfall.class_name))
