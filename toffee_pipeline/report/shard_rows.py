"""The rows of a ledger, as a report speaks of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.rundir.manifests import READERS, Manifest
from toffee_pipeline.rundir.rows import read_ledger as read_ledger_table
from toffee_pipeline.rundir.rows import read_ledgers as read_ledger_tables
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

Row = dict[str, Any]
"""A row of the ledger, with `id`, and with `kind` also where a table has none: then what a row is, in a word."""


def read_ledgers(
    storage: Storage,
    manifests: Iterable[Manifest],
    table: Table,
    columns: Sequence[str] | None = None,
    readers: int = READERS,
) -> Iterator[tuple[Manifest, list[Row]]]:
    """Of each manifest the rows, few ledgers in memory at a time, as `rows.read_ledgers`."""
    for manifest, rows in read_ledger_tables(storage, manifests, table, columns, readers):
        yield manifest, _rows(rows, table)


def read_ledger(storage: Storage, manifest: Manifest, table: Table, ids: Collection[str] | None = None) -> list[Row]:
    """The planned rows of the shard, in the plan's order: all, or those of these ids. Raises DamagedFile."""
    rows = read_ledger_table(storage, manifest, table)
    if ids is not None:
        rows = rows.filter(pc.is_in(rows[table.id], pa.array(ids, pa.string())))
    return _rows(rows, table)


def _rows(rows: pa.Table, table: Table) -> list[Row]:
    return [{"kind": table.row, **row, "id": row[table.id]} for row in rows.to_pylist()]
