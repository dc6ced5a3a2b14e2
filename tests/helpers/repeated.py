"""Small Parquet files of tables that are large in memory."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def in_every_row(value: Any, num_rows: int) -> pa.DictionaryArray:
    """As a dictionary a value is stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(num_rows, np.int32)), pa.array([value]))


def packed(table: pa.Table, **options: Any) -> bytes:
    """The Parquet file. Read back, dictionaries are plain columns."""
    file = io.BytesIO()
    large = {"store_schema": False, "dictionary_pagesize_limit": 2**30}
    pq.write_table(table, file, **{"compression": "zstd", **large, **options})
    assert file.tell() < 4e6
    return file.getvalue()
