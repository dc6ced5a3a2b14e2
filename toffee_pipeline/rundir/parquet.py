"""How the tables of a shard become files, and what damaged files are known by."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import DamagedFile, StorageError
from toffee_pipeline.schema.table import ROW_GROUP_BYTES

LEDGER_ROW_GROUP = 64
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
