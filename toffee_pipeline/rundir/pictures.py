"""The pictures of single rows of a committed shard: no more of its files is read than that."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cached_property, lru_cache

import pyarrow as pa

from toffee_pipeline.parquet_file import ParquetFile, read_group, sound
from toffee_pipeline.rundir.layout import DATA, REJECTED
from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.rundir.rows import files_of, home_of
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

Pictures = dict[str, bytes | None]
"""By column the image file of a row; None where it was not made."""
IMAGE_FOLDERS = {"accepted": DATA, "rejected": REJECTED}
"""By status, where the images of rows are, if they are kept."""


def may_have_pictures(manifest: Manifest, status: str) -> bool:
    """Whether the shard may have those of rows of a status. Of a view they lie where its run judged a row to belong."""
    if status not in IMAGE_FOLDERS:
        return False
    folders = IMAGE_FOLDERS.values() if manifest.view else [IMAGE_FOLDERS[status]]
    return bool(files_of(manifest, *folders))


class ShardPictures:
    """The images of a shard's rows. Keeps a row group of each column; may be shared between threads. What reads a file
    that is damaged raises DamagedFile."""

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
    def _files(self) -> list[tuple[str, ParquetFile]]:
        """Each with its name."""
        return [self._open(file.key) for file in files_of(self._manifest, *IMAGE_FOLDERS.values())]

    def _open(self, key: str) -> tuple[str, ParquetFile]:
        name = self._storage.path_for(key)
        with sound(name):
            return name, ParquetFile(self._storage.open(key))

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        """Of each row with images the file, its row group and the row in that."""
        return {
            id: (number, group, offset)
            for number, (_, file) in enumerate(self._files)
            for group in range(file.num_row_groups)
            for offset, id in enumerate(self._read_cells(number, group, self._table.id).to_pylist())
        }

    def _read_cells(self, file: int, group: int, column: str) -> pa.ChunkedArray:
        name, parquet = self._files[file]
        with sound(name):
            return read_group(parquet, group, [column])[column]
