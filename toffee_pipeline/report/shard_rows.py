"""The rows of one committed shard, and the pictures of single ones of them: no more of its files is read than that."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.rundir.layout import DATA, REJECTED
from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.rundir.rows import files_of, home_of
from toffee_pipeline.rundir.rows import read_ledger as read_ledger_table
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

Row = dict[str, Any]
"""A row of the ledger, with `id`, and with `kind` also where a table has none: then what a row is, in a word."""
Pictures = dict[str, bytes | None]
"""By column the image file of a row; None where it was not made."""


IMAGE_FOLDERS = {"accepted": DATA, "rejected": REJECTED}
"""By status, where the images of rows are, if they are kept."""


def keeps_images(manifest: Manifest, row: Row) -> bool:
    """Whether the shard may have images of the row. Of a view they lie where its run judged the row to belong."""
    if row["status"] not in IMAGE_FOLDERS:
        return False
    folders = IMAGE_FOLDERS.values() if manifest.view else [IMAGE_FOLDERS[row["status"]]]
    return bool(files_of(manifest, *folders))


def read_ledger(storage: Storage, manifest: Manifest, table: Table) -> list[Row]:
    """Every planned row of the shard, in the plan's order."""
    rows = read_ledger_table(storage, manifest, table).to_pylist()
    return [{"kind": table.row, **row, "id": row[table.id]} for row in rows]


class ShardPictures:
    """The images of a shard's rows. Keeps a row group of each column; may be shared between threads."""

    def __init__(self, storage: Storage, manifest: Manifest, table: Table) -> None:
        self._storage, self._manifest, self._table = home_of(storage, manifest), manifest, table
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
        files = files_of(self._manifest, *IMAGE_FOLDERS.values())
        return [pq.ParquetFile(pa.PythonFile(self._storage.open(file.key), mode="r")) for file in files]

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
