"""The pairs of an export of `jobs/export.py`, whichever of its formats it is in."""

from __future__ import annotations

import json
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from toffee_pipeline.config.train import ExportSource
from toffee_pipeline.errors import BrokenFile, DataError
from toffee_pipeline.images import MAX_BYTES
from toffee_pipeline.pairsets.tar import samples_of
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, stream_texts, unsound
from toffee_pipeline.schema.pairs import FILE_NAME_COLUMNS, IMAGE_COLUMNS
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES
from toffee_pipeline.train.data.records import Record
from toffee_pipeline.train.data.sources.run import IMAGES, accepted_rows, pair_record

MAX_TEXT_BYTES = 1024 * 1024
ROWS_AT_ONCE = 16
TEXTS = ("pair_id", "subject_id", "kind", "class_name", "prompt")
Row = dict[str, Any]


class Exported:
    """The pairs of one split."""

    def __init__(self, config: ExportSource) -> None:
        self._storage, self._split = open_storage(config.path, config.endpoint_url), config.split

    def files(self) -> list[str]:
        """Keys of the files that hold or name the pairs, sorted. Raises DataError where there is none."""
        keys = [key for key, _ in self._storage.list(self._split) if self._rows_of(key)]
        if not keys:
            raise DataError(
                f"{self._storage.uri}: no pairs of split {self._split!r} there; format=export is the output of "
                "jobs/export.py in another format than subjects200k"
            )
        return keys

    def read(self, file: str) -> Iterator[Record]:
        """The pairs of a file, as a run's (see `Run.read`); a subject's own image comes once in each file.

        Raises BrokenFile, StorageError, DataError.
        """
        rows_of = self._rows_of(file)
        assert rows_of is not None  # it is of `files`
        seen: set[str] = set()
        for row in rows_of(self._storage, file):
            yield pair_record(row, f"{file}: {row['pair_id']}", row["subject_id"] not in seen)
            seen.add(row["subject_id"])

    def _rows_of(self, key: str) -> Callable[[Storage, str], Iterator[Row]] | None:
        """How a file is read; None of those that hold no pairs of the split."""
        split = re.escape(self._split)
        return next((rows for form, rows in ROWS.items() if re.fullmatch(form.replace("SPLIT", split), key)), None)


def _parquet(storage: Storage, key: str) -> Iterator[Row]:
    return accepted_rows(storage, key)


def _tar(storage: Storage, key: str) -> Iterator[Row]:
    samples, problem = samples_of(storage.map(key))
    for name, members in samples.items():
        try:
            row: Row = json.loads(bytes(members["json"][:MAX_TEXT_BYTES]))
        except (KeyError, ValueError, RecursionError) as error:
            raise BrokenFile(f"{storage.path_for(key)}: {name!a}: no .json of a pair: {error}") from error
        for member, data in members.items():
            if (column := member.partition(".")[0]) in IMAGE_COLUMNS:
                row[column] = {"bytes": bytes(data[: MAX_BYTES + 1])}  # one more than allowed, so that it is refused
        yield row
    if problem is not None:
        raise BrokenFile(f"{storage.path_for(key)}: {problem}")


def _lance(storage: Storage, key: str) -> Iterator[Row]:
    try:
        lance_file = import_module("lance.file")
    except ImportError as error:
        raise DataError("an export in Lance needs a package: pip install 'toffee-pipeline[export]'") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / posixpath.basename(key)
        storage.get_file(key, path, MAX_MAPPED_BYTES)
        try:
            found = lance_file.LanceFileReader(str(path), columns=[*IMAGES, *TEXTS]).read_all(batch_size=ROWS_AT_ONCE)
            for row in (row for batch in found.to_batches() for row in batch.to_pylist()):
                yield {**row, **{column: None if row[column] is None else {"bytes": row[column]} for column in IMAGES}}
        except (OSError, ValueError) as error:
            raise BrokenFile(f"{storage.path_for(key)}: {' '.join(str(error).split())}") from error


def _imagefolder(storage: Storage, key: str) -> Iterator[Row]:
    names = {column: FILE_NAME_COLUMNS[column] for column in IMAGES}
    folder = posixpath.dirname(key)
    for row in _texts(storage, key, [*names.values(), *TEXTS]):
        keys = {column: row[name] and f"{folder}/{row[name]}" for column, name in names.items()}
        images = {column: key and {"bytes": storage.get(key, MAX_BYTES)} for column, key in keys.items()}
        yield {**row, **images}


def _texts(storage: Storage, key: str, columns: list[str]) -> Iterator[Row]:
    try:
        parquet = ParquetFile(storage.map(key, MAX_MAPPED_BYTES))
        if missing := sorted(set(columns) - set(parquet.schema_arrow.names)):
            raise BrokenFile(f"{storage.path_for(key)}: no column {missing[0]}")
        for number in range(parquet.num_row_groups):
            for batch in stream_texts(parquet, number, columns):
                yield from batch.to_pylist()
    except DAMAGED as error:
        if is_of_store(error):
            raise
        raise BrokenFile(f"{storage.path_for(key)}: {unsound(error)}") from error


ROWS: dict[str, Callable[[Storage, str], Iterator[Row]]] = {
    r"SPLIT/[^/]+\.parquet": _parquet,
    r"SPLIT/[^/]+\.tar": _tar,
    r"SPLIT\.lance/data/[^/]+\.lance": _lance,
    r"SPLIT/[^/]+/metadata\.parquet": _imagefolder,
}
"""Keys that hold or name pairs, and how their rows are read: as a run's, with images as `{"bytes": ...}`."""
