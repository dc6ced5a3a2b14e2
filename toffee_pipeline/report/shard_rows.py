"""The rows of one committed shard, and the pictures of single ones of them: no more of its files is read than that."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED
from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.schema import Table
from toffee_pipeline.storage import Storage

Row = dict[str, Any]
"""A row of the ledger, with `id`, and with `kind` also where a table has none: then what a row is, in a word."""
Pictures = dict[str, bytes | None]
"""By column the image file of a row; None where it was not made."""


IMAGE_FOLDERS = {"accepted": DATA, "rejected": REJECTED}
"""By status, where the images of rows are, if they are kept."""


def keeps_images(manifest: Manifest, row: Row) -> bool:
    """Whether the shard may have images of the row."""
    return any(file.folder == IMAGE_FOLDERS.get(row["status"]) for file in manifest.files)


def read_ledger(storage: Storage, manifest: Manifest, table: Table) -> list[Row]:
    """Every planned row of the shard, in the plan's order."""
    files = [pq.ParquetFile(pa.BufferReader(storage.get(key))) for key in _keys(manifest, LEDGER)]
    rows = [row for file in files for row in file.read().to_pylist()]
    return [{"kind": table.row, **row, "id": row[table.id]} for row in rows]


class ShardPictures:
    """The images of a shard's rows. Keeps a row group of each column; may be shared between threads."""

    def __init__(self, storage: Storage, manifest: Manifest, table: Table) -> None:
        self._storage, self._manifest, self._table = storage, manifest, table
        self._lock = threading.Lock()
        self._cells = lru_cache(maxsize=len(table.images))(self._read_cells)  # a page asks for neighbours

    def of(self, id: str, columns: Iterable[str]) -> Pictures | None:
        """Those of a row; None where its images are not kept."""
        with self._lock:
            if (place := self._places.get(id)) is None:
                return None
            file, group, offset = place
            return {name: (self._cells(file, group, name)[offset].as_py() or {}).get("bytes") for name in columns}

    @cached_property
    def _files(self) -> list[pq.ParquetFile]:
        keys = [key for folder in IMAGE_FOLDERS.values() for key in _keys(self._manifest, folder)]
        return [pq.ParquetFile(pa.PythonFile(self._storage.open(key), mode="r")) for key in keys]

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        """Of each row with images the file, its row group and the row in that."""
        return {
            id: (number, group, offset)
            for number, file in enumerate(self._files)
            for group in range(file.num_row_groups)
            for offset, id in enumerate(file.read_row_group(group, [self._table.id])[self._table.id].to_pylist())
        }

    def _read_cells(self, file: int, group: int, column: str) -> pa.ChunkedArray:
        return self._files[file].read_row_group(group, [column])[column]


def _keys(manifest: Manifest, folder: str) -> list[str]:
    return [file.key for file in manifest.files if file.folder == folder]
