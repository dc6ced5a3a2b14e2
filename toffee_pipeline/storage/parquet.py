"""Parquet files of strangers: what damaged ones are known by, and no more of one in memory than a run ever writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import DamagedFile, StorageError

MAX_GROUP_BYTES = 512 * 2**20
"""Of the values of a row group; ours have half of it (`schema.table.ROW_GROUP_BYTES`) or a single row."""
MAX_TEXT_ROW_BYTES = 16 * 2**10
"""Of the values of a row without images, on average over its row group."""
MAX_BATCH_ROWS = 2**16
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises for damaged bytes; of a file that a store opened, see `is_of_store`."""


def is_of_store(error: Exception) -> bool:
    """Whether one of `DAMAGED` says that the store failed, and nothing of the bytes."""
    return isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno is not None)


def unsound(error: Exception) -> str:
    """One line about damaged bytes."""
    return f"not a sound Parquet file: {' '.join(str(error).split())}"


@contextmanager
def sound(name: str) -> Iterator[None]:
    """Raises DamagedFile where what is read of a file inside is no sound Parquet. name: of the file."""
    try:
        yield
    except DAMAGED as error:
        if is_of_store(error):
            raise
        raise DamagedFile(f"{name}: {unsound(error)}") from error


def read_rows(
    parquet: pq.ParquetFile,
    columns: Sequence[str] | None = None,
    num_rows: int | None = None,
    max_row_bytes: int = MAX_TEXT_ROW_BYTES,
) -> pa.Table:
    """The whole of a file of texts and numbers. num_rows: that it must have. Raises as `read_group`."""
    if num_rows is not None and parquet.metadata.num_rows != num_rows:
        raise pa.ArrowInvalid(f"{parquet.metadata.num_rows} rows instead of {num_rows}")
    groups = [read_group(parquet, number, columns, max_row_bytes) for number in range(parquet.num_row_groups)]
    return pa.concat_tables(groups) if groups else parquet.read(columns, use_threads=False)


def read_group(
    parquet: pq.ParquetFile, number: int, columns: Sequence[str] | None = None, max_row_bytes: int = MAX_GROUP_BYTES
) -> pa.Table:
    """Row group `number`, as `ParquetFile.read_row_group`, where its values take as much memory as they may.

    max_row_bytes: of the values of a row, on average.

    Raises pa.ArrowInvalid for more than that, or than `MAX_GROUP_BYTES`; and what pyarrow raises for damaged bytes.
    """
    if number >= parquet.num_row_groups:
        raise pa.ArrowInvalid(f"it has {parquet.num_row_groups} row groups, and none of number {number}")
    group = parquet.metadata.row_group(number)
    limit = min(MAX_GROUP_BYTES, (group.num_rows + 1) * max_row_bytes)
    chunks = (group.column(index) for index in range(group.num_columns))
    sizes = [
        chunk.total_uncompressed_size
        for chunk in chunks
        if columns is None or chunk.path_in_schema.partition(".")[0] in columns
    ]
    batches, left = [], limit
    if sum(sizes) <= limit:
        # a value counts once in these sizes, and may stand in every row
        rows_at_once = min(MAX_BATCH_ROWS, max(1, limit // max(1, *sizes)))
        for batch in parquet.iter_batches(rows_at_once, row_groups=[number], columns=columns, use_threads=False):
            batches.append(batch)
            left -= batch.nbytes
            if left < 0:
                break
        else:
            return pa.Table.from_batches(batches, batches[0].schema) if batches else _no_rows(parquet, columns)
    raise pa.ArrowInvalid(f"row group {number} holds more than the {limit} bytes that {group.num_rows} rows may")


def with_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Its columns, in their order; one that is missing is null. Raises pa.ArrowException for values of other types."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _no_rows(parquet: pq.ParquetFile, columns: Sequence[str] | None) -> pa.Table:
    return parquet.read_row_groups([], columns)
