"""Metadata beside images, as of Hugging Face's imagefolder: a row for each image.

https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import csv
import json
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from toffee_pipeline.errors import MetadataError
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, stream_texts, unsound
from toffee_pipeline.plain_file import lines_of
from toffee_pipeline.plan.names import one_line

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})
MAX_ROW_BYTES = 2**20
"""Of a line of JSON, or of a row of CSV, which quotes may spread over many lines."""
_TOO_LONG = f"longer than {MAX_ROW_BYTES:,} bytes"


class Row(NamedTuple):
    """image: its path below the root. caption: None where the row has none. columns: the row's own, or its file's.
    place: file and line, for messages."""

    image: str
    caption: str | None
    columns: Collection[str]
    place: str


class RawRow(NamedTuple):
    """A row as it stands. place: file and line. columns: the row's own, or its file's. problem: why it is none, or why
    nothing after it can be read."""

    place: str
    values: Mapping[str, Any]
    columns: Collection[str] = ()
    problem: str | None = None


def metadata_rows(file: BinaryIO, path: str, column: str = "text") -> Iterator[Row]:
    """The rows of a file of `METADATA_NAMES`, in their order.

    Args:
        path: of the file, below the root; images lie relative to its folder.
        column: of the captions; not every row, or none, need have it.

    Raises MetadataError that names the file and the line: not UTF-8, CSV, JSON or Parquet, no `file_name`, a caption
    that is none.
    """
    for row in raw_rows(file, path, ("file_name", column)):
        if row.problem is not None:
            raise MetadataError(f"{row.place}: {row.problem}")
        try:
            image = path_of(row.values.get("file_name"), path)
        except ValueError as error:
            raise MetadataError(f"{row.place}: {str(error) or 'no file_name'}") from error
        caption = row.values.get(column)
        if not isinstance(caption, str | None):
            raise MetadataError(f"{row.place}: {column} is no string, but of type {type(caption).__name__}")
        yield Row(image, caption, row.columns, row.place)


def path_of(name: object, path: str) -> str:
    """The path below the root of the file that a row of the metadata at `path` names. Raises ValueError for no name,
    without words."""
    if not isinstance(name, str) or not name:
        raise ValueError
    name.encode()  # half of a surrogate pair is no name
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def raw_rows(file: BinaryIO, path: str, columns: Sequence[str] | None = None) -> Iterator[RawRow]:
    """The rows of a file of `METADATA_NAMES`, one after the other; one that cannot be read is a problem.

    columns: those that are read of a Parquet file, where it has them; None: all.
    """
    if path.endswith(".parquet"):
        yield from _of_parquet(file, path, columns)
    else:
        yield from (_of_csv if path.endswith(".csv") else _of_jsonl)(file, path)


def _of_jsonl(file: BinaryIO, path: str) -> Iterator[RawRow]:
    for number, line in enumerate(lines_of(file, MAX_ROW_BYTES), start=1):
        place = f"{one_line(path)}, line {number}"
        try:
            if len(line) > MAX_ROW_BYTES:
                raise ValueError(_TOO_LONG)
            text = line.decode("utf-8-sig")
            if not text.strip():
                continue
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield RawRow(place, {}, problem=error.msg if isinstance(error, json.JSONDecodeError) else str(error))
        else:
            is_row = isinstance(row, dict)
            yield RawRow(place, row, row.keys()) if is_row else RawRow(place, {}, problem="not a JSON object")


def _of_csv(file: BinaryIO, path: str) -> Iterator[RawRow]:
    number = num_bytes = 0

    def lines() -> Iterator[str]:
        nonlocal number, num_bytes
        for line in lines_of(file, MAX_ROW_BYTES):
            number += 1
            num_bytes += len(line.strip())  # between rows there may be any number of empty lines
            if num_bytes > MAX_ROW_BYTES:
                raise ValueError(_TOO_LONG)
            yield line.decode("utf-8-sig")

    try:
        for row in csv.DictReader(lines(), strict=True):
            problem = "more fields than columns: a text with a comma stands in quotes" if None in row else None
            yield RawRow(f"{one_line(path)}, line {number}", {} if problem else row, row.keys(), problem)
            num_bytes = 0
    except (ValueError, csv.Error) as error:
        place = f", line {number}" if number else ""
        yield RawRow(f"{one_line(path)}{place}", {}, problem=str(error))


def _of_parquet(file: BinaryIO, path: str, columns: Sequence[str] | None) -> Iterator[RawRow]:
    number = 0
    try:
        parquet = ParquetFile(file)
        names = parquet.schema_arrow.names
        if "file_name" not in names:
            yield RawRow(one_line(path), {}, problem=f"no file_name; its columns are {', '.join(names)}")
            return
        wanted = names if columns is None else [name for name in dict.fromkeys(columns) if name in names]
        for group in range(parquet.num_row_groups):
            for batch in stream_texts(parquet, group, wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield RawRow(f"{one_line(path)}, row {number}", row, names)
    except DAMAGED as error:
        if is_of_store(error):
            raise
        place = f", row {number}" if number else ""
        yield RawRow(f"{one_line(path)}{place}", {}, problem=unsound(error))
