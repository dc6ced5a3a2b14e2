"""How the tables of a shard become files."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.schema.table import ROW_GROUP_BYTES

LEDGER_ROW_GROUP = 64


def to_parquet(table: pa.Table, row_group_size: int) -> bytes:
    """The bytes of a Parquet file.

    row_group_size: rows, at most; fewer where their bytes are more than a viewer reads.
    """
    buffer = io.BytesIO()
    fitting = ROW_GROUP_BYTES * len(table) // max(table.nbytes, 1)
    # the index lets a reader fetch single rows of a group
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=max(1, min(row_group_size, fitting)),
        write_page_index=True,
    )
    return buffer.getvalue()


class RowGroups:
    """Writes a Parquet file of any size with one row group in memory: of at most `row_group_size` rows, and of no more
    bytes than a viewer reads, or of a single row.

    Attributes:
        num_rows: so far.
    """

    def __init__(self, path: Path, schema: pa.Schema, row_group_size: int) -> None:
        self.num_rows = 0
        self._row_group_size = row_group_size
        self._file = pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True)
        self._rows: list[pa.Table] = []
        self._num_bytes = 0

    def write(self, rows: pa.Table) -> None:
        for number in range(len(rows)):
            row = rows.slice(number, 1)
            if len(self._rows) == self._row_group_size or self._num_bytes + row.nbytes > ROW_GROUP_BYTES:
                self._flush()
            self._rows.append(row)
            self._num_bytes += row.nbytes
        self.num_rows += len(rows)

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.concat_tables(self._rows))
        self._rows, self._num_bytes = [], 0
