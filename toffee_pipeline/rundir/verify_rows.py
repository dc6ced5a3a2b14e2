"""Rows of a file that is verified, read so that a damaged one is a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, read_group, read_rows, unsound
from toffee_pipeline.schema.table import Table

Rows = dict[str, dict[str, Any]]
"""Rows by id."""
OWN_COLUMNS = ("error", "stage_s")
"""Of the ledger, that files with images repeat otherwise."""


class UnsoundFile(Exception):
    """A file of which nothing more can be said. kind: as in `Problem`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Ledger:
    """rows: as they are read, which is a tenth of what they take as dicts. numbers: of the rows, by id. judged: columns
    that say where a row must lie. Raises UnsoundFile."""

    def __init__(self, file: ParquetFile, table: Table) -> None:
        try:
            self.rows = read_rows(file)
        except DAMAGED as error:
            raise UnsoundFile("rows", unsound(error)) from error
        self._id, self._shared = table.id, [name for name in table.ledger.names if name not in OWN_COLUMNS]
        self.numbers = {id: number for number, id in enumerate(self.rows[table.id].to_pylist())}
        self.judged = [name for name in (table.id, "status", "reason", "kind") if name in table.ledger.names]

    def take(self, numbers: Iterable[int]) -> Rows:
        """What files with images must say of these rows."""
        rows = self.rows.select(self._shared).take(pa.array(list(numbers), pa.int64())).to_pylist()
        return {row[self._id]: row for row in rows}


def groups_of(file: ParquetFile) -> Iterator[list[dict[str, Any]]]:
    """Its rows, group after group. Raises UnsoundFile."""
    for number in range(file.num_row_groups):
        try:
            rows: list[dict[str, Any]] = read_group(file, number).to_pylist()
        except DAMAGED as error:
            raise UnsoundFile("rows", unsound(error)) from error
        yield rows
