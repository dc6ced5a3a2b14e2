"""The rows of a ledger, as a report speaks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.rundir.rows import read_ledger as read_ledger_table
from toffee_pipeline.rundir.rows import read_ledgers as read_ledger_tables
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

Row = dict[str, Any]
"""A row of the ledger, with `id`, and with `kind` also where a table has none: then what a row is, in a word."""


def read_ledgers(storage: Storage, manifests: Iterable[Manifest], table: Table) -> Iterator[tuple[Manifest, list[Row]]]:
    """Of each manifest the rows, few ledgers in memory at a time, as `rows.read_ledgers`."""
    for manifest, rows in read_ledger_tables(storage, manifests, table):
        yield manifest, _rows(rows, table)


def read_ledger(storage: Storage, manifest: Manifest, table: Table) -> list[Row]:
    """Every planned row of the shard, in the plan's order. Raises DamagedFile."""
    return _rows(read_ledger_table(storage, manifest, table), table)


def _rows(rows: pa.Table, table: Table) -> list[Row]:
    return [{"kind": table.row, **row, "id": row[table.id]} for row in rows.to_pylist()]
