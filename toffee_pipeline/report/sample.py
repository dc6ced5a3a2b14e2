"""What a page shows of a run of any size: the ledgers of some shards, and which of their rows become cards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from toffee_pipeline.report.bounds import Bound
from toffee_pipeline.report.shard_rows import Row, read_ledgers
from toffee_pipeline.rundir.manifests import Manifest, committed_shards, read_manifest
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

MAX_SHARDS = 64
MAX_ROWS = 20_000
READERS = 4
"""More of them hold more memory, and a page reads few files."""
COLUMNS = ("subject_id", "kind", "category", "class_name", "status", "reason")
"""What is read of many rows beside their ids and scores: a card's row is read anew, whole."""
SPREAD = 8
"""A page's cards come from about this many shards: more variety costs a read of each one's pictures."""


@dataclass(frozen=True)
class Shard:
    """A committed shard with the rows of its ledger: ids, scores and `COLUMNS`."""

    manifest: Manifest
    rows: list[Row]


def sample_shards(storage: Storage, table: Table) -> list[Shard]:
    """At most `MAX_SHARDS` committed shards from all over the run, with about `MAX_ROWS` rows."""
    known = sorted(committed_shards(storage))
    chosen = random.Random(0).sample(known, min(len(known), MAX_SHARDS))
    wanted = {table.id, *COLUMNS, *(score.column for score in table.scores)}
    columns = [name for name in table.ledger.names if name in wanted]
    shards: list[Shard] = []
    with ThreadPoolExecutor(READERS) as pool:
        manifests = pool.map(partial(read_manifest, storage), chosen)
        for each in read_ledgers(storage, manifests, table, columns, READERS):
            shards.append(Shard(*each))
            if sum(len(shard.rows) for shard in shards) >= MAX_ROWS:
                break
    return shards


@dataclass(frozen=True)
class Chosen:
    """A row that becomes a card, and the manifest of the shard that has its pictures."""

    manifest: Manifest
    row: Row


G = TypeVar("G")


def choose(
    shards: Sequence[Shard], quotas: Mapping[G, int], group: Callable[[Row], G | None], balance: str
) -> dict[G, list[Chosen]]:
    """Up to `quotas[group]` rows of each group, sorted by their id.

    Takes evenly from the values of the column `balance` and from subjects, and from `SPREAD` shards where these have
    enough. group: that of a row; None of rows that are not wanted.
    """
    chosen: dict[G, list[Chosen]] = {}
    for name, quota in quotas.items():
        candidates = [[row for row in shard.rows if group(row) == name] for shard in shards]
        taken: Counter[tuple[str, str | None]] = Counter()
        share = -(-quota // max(1, min(len(shards), SPREAD)))
        picked: list[Chosen] = []
        for most in (share, quota):  # what some shards lack, others have
            for shard, rows in zip(shards, candidates, strict=True):
                for row in _evenly(rows, min(most, quota - len(picked)), balance, taken):
                    picked.append(Chosen(shard.manifest, row))
                    rows.remove(row)
        chosen[name] = sorted(picked, key=lambda each: each.row["id"])
    return chosen


def _evenly(rows: Sequence[Row], count: int, balance: str, taken: Counter[tuple[str, str | None]]) -> Iterator[Row]:
    """Up to `count` rows, each time of the group and then the subject that was taken least."""
    left = list(rows)
    while left and count > 0:
        keys = [[(balance, row[balance]), ("subject_id", row["subject_id"])] for row in left]
        best = min(range(len(left)), key=lambda index: [taken[key] for key in keys[index]])
        taken.update(keys[best])
        yield left.pop(best)
        count -= 1


def choose_near(shards: Sequence[Shard], bound: Bound, count: int) -> list[Chosen]:
    """Of the first `SPREAD` shards the rows next to a threshold, the best score first: half that were accepted, half
    that it rejected."""
    column, reason = bound.score.column, bound.rejection.reason
    near: list[Chosen] = []
    for wanted in ("accepted", "rejected"):
        rows = [
            Chosen(shard.manifest, row)
            for shard in shards[:SPREAD]
            for row in shard.rows
            if row["status"] == wanted
            and row[column] is not None
            and row["reason"] in (None, reason)
            and bound.rejection.only in (None, row["kind"])
        ]
        near += sorted(rows, key=lambda each: abs(each.row[column] - bound.threshold))[: count // 2]
    return sorted(near, key=lambda each: -each.row[column])
