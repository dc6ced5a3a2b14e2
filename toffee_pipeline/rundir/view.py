"""The shards of a view: those of a finished run under other verdicts. How they are read lies in `rows`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from toffee_pipeline.errors import RunError
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.layout import PACK_SHARDS
from toffee_pipeline.rundir.manifests import READERS, Manifest, ViewOf, committed_shards, read_manifest
from toffee_pipeline.rundir.recut import COLUMNS
from toffee_pipeline.rundir.rows import read_ledger
from toffee_pipeline.storage import Storage

GROUPS = {"by_kind": "kind", "by_category": "category", "by_class": "class_name"}
"""What a manifest counts by, and the column."""


class WholeLedger(NamedTuple):
    """Of a finished run: its manifests by shard number, and `COLUMNS` of their rows, one shard's after the other's.
    ends: int (number of shards,), where the rows of each end."""

    manifests: list[Manifest]
    rows: pa.Table
    ends: np.ndarray


def finished_shards(storage: Storage, run: GenerationRun) -> list[int]:
    """Numbers of all shards. Raises RunError where one is missing."""
    shards = sorted(committed_shards(storage))
    if len(shards) != run.num_shards:
        raise RunError(f"{storage.uri}: {len(shards)} of {run.num_shards} shards are committed; finish the run first")
    return shards


def read_whole_ledger(storage: Storage, run: GenerationRun) -> WholeLedger:
    """Raises as `finished_shards` and `read_manifests`."""

    def read(shard: int) -> tuple[Manifest, pa.Table]:
        manifest = read_manifest(storage, shard)
        return manifest, read_ledger(storage, manifest, run.table, COLUMNS)

    with ThreadPoolExecutor(READERS) as pool:
        manifests, tables = zip(*pool.map(read, finished_shards(storage, run)), strict=True)
    ends = np.cumsum([table.num_rows for table in tables])
    return WholeLedger(list(manifests), pa.concat_tables(tables).combine_chunks(), ends)


def shards_of_view(ledger: WholeLedger, cut: pa.Table, uri: str, endpoint_url: str | None) -> Iterator[Manifest]:
    """The manifests of a view, by shard number.

    Args:
        cut: the rows of `ledger` with the view's verdicts.
        uri, endpoint_url: of the run.
    """
    for first in range(0, len(ledger.manifests), PACK_SHARDS):  # what is counted in one go is held in memory
        manifests = ledger.manifests[first : first + PACK_SHARDS]
        ends = ledger.ends[first : first + PACK_SHARDS]
        start = int(ledger.ends[first - 1]) if first else 0
        number = pa.array(np.repeat(np.arange(len(ends)), np.diff(ends, prepend=start)))
        before, rows = (table.slice(start, int(ends[-1]) - start) for table in (ledger.rows, cut))
        verdicts = _changed(before, rows, number, len(ends))
        counts = _counts(rows.append_column("shard", number), [manifest.counts for manifest in manifests])
        for manifest, changed, counted in zip(manifests, verdicts, counts, strict=True):
            name = hashlib.sha256(json.dumps([manifest.attempt, changed]).encode()).hexdigest()[:12]
            yield Manifest(
                shard=manifest.shard,
                attempt=name,
                committed=datetime.now(UTC),
                files=manifest.files,
                counts=counted,
                view=ViewOf(run=uri, endpoint_url=endpoint_url, verdicts=changed),
            )


def _changed(before: pa.Table, rows: pa.Table, number: pa.Array, num_shards: int) -> list[dict[str, str | None]]:
    """Of each shard the reasons of the rows whose verdict is another. number: of each row's shard."""
    differs = [before[name].to_numpy() != rows[name].to_numpy() for name in ("status", "reason")]
    where = np.flatnonzero(np.logical_or(*differs))
    changed: list[dict[str, str | None]] = [{} for _ in range(num_shards)]
    columns = (number, rows["pair_id"], rows["reason"])
    for shard, pair_id, reason in zip(*(column.take(pa.array(where)).to_pylist() for column in columns), strict=True):
        changed[shard][pair_id] = reason
    return changed


def _counts(rows: pa.Table, known: list[ShardCounts]) -> list[ShardCounts]:
    """The counts of each shard, with what the view changes in them. rows: with the number of each one's `shard`."""
    changes: list[dict[str, Any]] = [{"accepted": 0, "rejected": {}, **{name: {} for name in GROUPS}} for _ in known]
    for shard, status, reason, count in _grouped(rows, "status", "reason"):
        if status == "accepted":
            changes[shard]["accepted"] = count
        elif status == "rejected":
            changes[shard]["rejected"][reason] = count
    for name, column in GROUPS.items():
        for shard, value, status, count in _grouped(rows, column, "status"):
            counts = changes[shard][name].setdefault(value, {"planned": 0})
            counts["planned"] += count
            counts[status] = count
    for shard, name, reason, count in _grouped(rows, "class_name", "reason"):
        if reason is not None:
            changes[shard]["by_class"][name][reason] = count
    return [counts.model_copy(update=changed) for counts, changed in zip(known, changes, strict=True)]


def _grouped(rows: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Shard, values of the columns, and in how many rows they are these."""
    grouped = rows.group_by(["shard", *columns]).aggregate([([], "count_all")])
    return zip(*(grouped[name].to_pylist() for name in ("shard", *columns, "count_all")), strict=True)
