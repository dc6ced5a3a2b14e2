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
import pyarrow.compute as pc

from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.index import WholeLedger
from toffee_pipeline.rundir.layout import PACK_SHARDS
from toffee_pipeline.rundir.manifests import Manifest, ViewOf

GROUPS = {"by_kind": "kind", "by_category": "category"}
"""What a manifest counts by besides the class, and the column."""


def shards_of_view(ledger: WholeLedger, cut: pa.Table, uri: str) -> Iterator[Manifest]:
    """The manifests of a view, by shard number.

    Args:
        cut: the rows of `ledger` with the view's verdicts.
        uri: of the run.

    Raises DamagedFile where the manifests count other rows.
    """
    known, start = iter(ledger.manifests), 0
    differs = _differs(ledger.rows, cut)
    while manifests := list(islice(known, PACK_SHARDS)):  # what is counted in one go is held in memory
        lengths = [manifest.counts.planned for manifest in manifests]
        if start + sum(lengths) > len(cut):
            raise DamagedFile(f"{uri}: damaged: its manifests count more rows than its ledger has")
        number = pa.array(np.repeat(np.arange(len(lengths)), lengths))
        rows, changes = cut.slice(start, len(number)), differs[start : start + len(number)]
        start += len(number)
        verdicts = _changed(rows, np.flatnonzero(changes), number, len(lengths))
        counts = _counts(rows.append_column("shard", number), [manifest.counts for manifest in manifests])
        for manifest, changed, counted in zip(manifests, verdicts, counts, strict=True):
            name = hashlib.sha256(json.dumps([manifest.attempt, changed]).encode()).hexdigest()[:12]
            yield Manifest(
                shard=manifest.shard,
                attempt=name,
                committed=datetime.now(UTC),
                files=manifest.files,
                counts=counted,
                view=ViewOf(run=uri, verdicts=changed),
            )


def _differs(before: pa.Table, rows: pa.Table) -> np.ndarray:
    """bool (n,): which rows have another verdict."""
    texts = ((pc.fill_null(table[name], "") for table in (before, rows)) for name in ("status", "reason"))
    found: np.ndarray = pc.or_(*(pc.not_equal(*pair) for pair in texts)).to_numpy()
    return found


def _changed(rows: pa.Table, where: np.ndarray, number: pa.Array, num_shards: int) -> list[dict[str, str | None]]:
    """Of each shard the reasons of the rows whose verdict is another. number: of each row's shard."""
    changed: list[dict[str, str | None]] = [{} for _ in range(num_shards)]
    columns = (number, rows["pair_id"], rows["reason"])
    for shard, pair_id, reason in zip(*(column.take(pa.array(where)).to_pylist() for column in columns), strict=True):
        changed[shard][pair_id] = reason
    return changed


def _counts(rows: pa.Table, known: list[ShardCounts]) -> list[ShardCounts]:
    """The counts of each shard, with what the view changes in them. rows: with the number of each one's `shard`."""
    changes: list[dict[str, Any]] = [
        {"accepted": 0, "rejected": {}, "by_class": {}, **{name: {} for name in GROUPS}} for _ in known
    ]
    for name, column in GROUPS.items():
        for shard, value, status, count in _grouped(rows, column, "status"):
            counts = changes[shard][name].setdefault(value, {"planned": 0})
            counts["planned"] += count
            counts[status] = count
    for shard, value, status, reason, count in _grouped(rows, "class_name", "status", "reason"):
        changed = changes[shard]
        counts = changed["by_class"].setdefault(value, {"planned": 0})
        counts["planned"] += count
        counts[status] = counts.get(status, 0) + count
        if reason is not None:
            counts[reason] = count
            changed["rejected"][reason] = changed["rejected"].get(reason, 0) + count
        elif status == "accepted":
            changed["accepted"] += count
    return [counts.model_copy(update=changed) for counts, changed in zip(known, changes, strict=True)]


def _grouped(rows: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Shard, values of the columns, and in how many rows they are these."""
    grouped = rows.group_by(["shard", *columns]).aggregate([([], "count_all")])
    return zip(*(grouped[name].to_pylist() for name in ("shard", *columns, "count_all")), strict=True)
