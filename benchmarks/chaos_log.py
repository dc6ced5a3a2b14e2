"""What the actors of `chaos_job.py` logged: tries of shards, and which of them kills made vain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Try:
    """One actor's try at one shard. began, ended: time.time(); ended is None where it was cut off."""

    shard: int
    began: float
    ended: float | None = None
    rows: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass
class Sum:
    """Rows, seconds and CPU seconds of the finished micro-batches of some tries."""

    tries: int = 0
    rows: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, one: Try) -> None:
        self.tries += 1
        self.rows += one.rows
        self.seconds += one.seconds
        self.cpu_seconds += one.cpu_seconds


@dataclass
class Work:
    """All tries, and those that a kill made vain; most_lost: by one kill."""

    total: Sum = field(default_factory=Sum)
    lost: Sum = field(default_factory=Sum)
    most_lost: int = 0


def read_tries(folder: Path) -> list[Try]:
    """The tries in all logs of a job; a line cut off by a kill is left out."""
    tries: list[Try] = []
    for path in sorted(folder.glob("*.jsonl")):
        current: Try | None = None
        for line in path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            entry = json.loads(line)
            if "shard" in entry:
                current = Try(entry["shard"], entry["time"])
                tries.append(current)
            elif current is None:
                raise ValueError(f"{path}: a micro-batch before its shard")
            elif "done" in entry:
                current.ended = entry["time"]
            else:
                current.rows += entry["rows"]
                current.seconds += entry["seconds"]
                current.cpu_seconds += entry["cpu_seconds"]
    return tries


def work(tries: Iterable[Try], committed: Mapping[int, float], kills: Sequence[float]) -> Work:
    """Sums of all tries, and of those that were lost to a kill.

    A shard needs one try: its last one that ended before the commit. Each other one is lost to the first kill that
    came after it began and before the shard's commit; where none did, it was vain for no reason: in `total` alone.

    Args:
        committed: shard -> time of its commit.
        kills: their times, ascending.
    """
    result, by_kill = Work(), dict.fromkeys(kills, 0)
    by_shard: dict[int, list[Try]] = {}
    for one in tries:
        result.total.add(one)
        by_shard.setdefault(one.shard, []).append(one)
    for shard, all_tries in by_shard.items():
        finished = [one for one in all_tries if one.ended is not None and one.ended <= committed.get(shard, one.ended)]
        needed = max(finished, key=lambda one: one.ended or 0.0, default=None)
        for one in all_tries:
            cause = next((kill for kill in kills if one.began <= kill <= committed.get(shard, kill)), None)
            if one is not needed and cause is not None:
                result.lost.add(one)
                by_kill[cause] += 1
    result.most_lost = max(by_kill.values(), default=0)
    return result
