"""The shards of a view: those of a finished run under other verdicts. How they are read lies in `rows`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.index import WholeLedger
from toffee_pipeline.rundir.layout import PACK_SHARDS
from toffee_pipeline.rundir.manifests import Manifest, ViewOf

GROUPS = {"by_kind": "kind", "by_category": "category", "by_class": "class_name"}
"""What a manifest counts by, and the column."""


def shards_of_view(ledger: WholeLedger, cut: pa.Table, uri: str, endpoint_url: str | None) -> Iterator[Manifest]:
    """The manifests of a view, by shard number.

    Args:
        cut: the rows of `ledger` with the view's verdicts.
        uri, endpoint_url: of the run.
    """
    known, start = iter(ledger.manifests), 0
    while manifests := list(islice(known, PACK_SHARDS)):  # what is counted in one go is held in memory
        lengths = [manifest.counts.planned for manifest in manifests]
        number = pa.array(np.repeat(np.arange(len(lengths)), lengths))
        before, rows = (table.slice(start, len(number)) for table in (ledger.rows, cut))
        start += len(number)
        verdicts = _changed(before, rows, number, len(lengths))
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
