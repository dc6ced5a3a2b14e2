"""The rows of a ledger, as a report speaks of them."""

from __future__ import annotations

from typing import Any

from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.rundir.rows import read_ledger as read_ledger_table
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

Row = dict[str, Any]
"""A row of the ledger, with `id`, and with `kind` also where a table has none: then what a row is, in a word."""


def read_ledger(storage: Storage, manifest: Manifest, table: Table) -> list[Row]:
    """Every planned row of the shard, in the plan's order. Raises DamagedFile."""
    rows = read_ledger_table(storage, manifest, table).to_pylist()
    return [{"kind": table.row, **row, "id": row[table.id]} for row in rows]
