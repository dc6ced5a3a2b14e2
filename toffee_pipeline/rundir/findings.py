"""What a verification finds: problems, and counts over all shards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from toffee_pipeline.rundir.counts import ShardCounts


class Problem(NamedTuple):
    """kind: what was checked (console/verify.py's KINDS); shard: set where computing this shard again mends it."""

    kind: str
    key: str
    message: str
    shard: int | None = None


@dataclass
class Tally:
    """Counts over all shards. checked: per kind; outcomes: pairs per status, and per reason of rejection;
    named: keys of all files that sound manifests name; with_failed: shards in which rows failed, as they say."""

    checked: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    num_bytes: int = 0
    named: set[str] = field(default_factory=set)
    with_failed: list[int] = field(default_factory=list)


def outcomes(counts: ShardCounts) -> Counter[str]:
    """As `Tally.outcomes`."""
    rejected = {f"rejected: {reason}": number for reason, number in counts.rejected.items()}
    return Counter({"planned": counts.planned, "accepted": counts.accepted, "failed": counts.failed, **rejected})
