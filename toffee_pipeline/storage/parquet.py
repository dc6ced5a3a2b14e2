"""What damaged Parquet files are known by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from toffee_pipeline.errors import DamagedFile, StorageError

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
