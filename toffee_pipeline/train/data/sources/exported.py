"""The pairs of an export of `jobs/export.py`, whichever of its formats it is in."""

from __future__ import annotations

import json
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from toffee_pipeline.config.base import Kind
from toffee_pipeline.config.train import ExportSource
from toffee_pipeline.errors import BrokenFile, DataError
from toffee_pipeline.images import MAX_BYTES
from toffee_pipeline.pairsets.tar import samples_of
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, stream_texts, unsound
from toffee_pipeline.schema.pairs import FILE_NAME_COLUMNS, IMAGE_COLUMNS
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES
from toffee_pipeline.train.data.records import Record
from toffee_pipeline.train.data.sources.lance_rows import lance_rows
from toffee_pipeline.train.data.sources.run import IMAGES, accepted_rows, pair_record

MAX_TEXT_BYTES = 1024 * 1024
Row = dict[str, Any]


def _check_id(text: str) -> str:
    if not text.isprintable():
        raise ValueError("Input should be printable")
    return text


Id = Annotated[str, AfterValidator(_check_id)]


class _Texts(BaseModel):
    """What a row says, but for its images."""

    model_config = ConfigDict(strict=True)

    pair_id: Id
    subject_id: Id
    kind: Kind
    class_name: str
    prompt: str


TEXTS = tuple(_Texts.model_fields)


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
        for number, row in enumerate(rows_of(self._storage, file), start=1):
            texts = _texts_of(row, f"{self._storage.path_for(file)}, row {number}")
            images = {column: row[column] for column in IMAGES}
            yield pair_record(texts | images, f"{file}: {texts['pair_id']}", texts["subject_id"] not in seen)
            seen.add(texts["subject_id"])

    def _rows_of(self, key: str) -> Callable[[Storage, str], Iterator[Row]] | None:
        """How a file is read; None of those that hold no pairs of the split."""
        split = re.escape(self._split)
        return next((rows for form, rows in ROWS.items() if re.fullmatch(form.replace("SPLIT", split), key)), None)


def _texts_of(row: Row, place: str) -> Row:
    """Its `TEXTS`. place: file and row, for messages. Raises BrokenFile where they are none of a pair."""
    try:
        return _Texts.model_validate(row).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        raise BrokenFile(f"{place}: {first['loc'][0]}: {first['msg']}") from error


def _parquet(storage: Storage, key: str) -> Iterator[Row]:
    return accepted_rows(storage, key)


def _tar(storage: Storage, key: str) -> Iterator[Row]:
    samples, problem = samples_of(storage.map(key))
    for name, members in samples.items():
        try:
            row = json.loads(bytes(members["json"][:MAX_TEXT_BYTES]))
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
        except (KeyError, ValueError, RecursionError) as error:
            raise BrokenFile(f"{storage.path_for(key)}: {name!a}: no .json of a pair: {error}") from error
        row.update(dict.fromkeys(IMAGES))
        for member, data in members.items():
            if (column := member.partition(".")[0]) in IMAGE_COLUMNS:
                row[column] = {"bytes": bytes(data[: MAX_BYTES + 1])}  # one more than allowed, so that it is refused
        yield row
    if problem is not None:
        raise BrokenFile(f"{storage.path_for(key)}: {problem}")


def _lance(storage: Storage, key: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / posixpath.basename(key)
        storage.get_file(key, path, MAX_MAPPED_BYTES)
        for row in lance_rows(path, storage.path_for(key), IMAGES, TEXTS):
            yield row | {column: row[column] and {"bytes": row[column]} for column in IMAGES}


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
