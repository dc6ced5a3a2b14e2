"""How the tables of a shard become files."""

from __future__ import annotations

import io

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
