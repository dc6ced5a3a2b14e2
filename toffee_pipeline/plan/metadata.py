"""Metadata beside images, as of Hugging Face's imagefolder: a row for each image.

https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import csv
import json
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import MetadataError
from toffee_pipeline.plan.names import one_line

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})


class Row(NamedTuple):
    """image: its path below the root. caption: None where the row has none. columns: the row's own, or its file's.
    place: file and line, for messages."""

    image: str
    caption: str | None
    columns: Collection[str]
    place: str


def metadata_rows(file: BinaryIO, path: str, column: str = "text") -> Iterator[Row]:
    """The rows of a file of `METADATA_NAMES`, in their order.

    Args:
        path: of the file, below the root; images lie relative to its folder.
        column: of the captions; not every row, or none, need have it.

    Raises MetadataError that names the file and the line: not UTF-8, CSV, JSON or Parquet, no `file_name`, a caption
    that is none.
    """
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for line in file:
            number += 1
            yield line.decode("utf-8-sig")

    columns: Collection[str] | None = None
    rows: Iterable[Mapping[Any, Any]]
    unit = "row" if path.endswith(".parquet") else "line"
    try:
        if path.endswith(".csv"):
            rows = csv.DictReader(lines(), strict=True)
        elif path.endswith(".jsonl"):
            rows = map(_object, filter(str.strip, lines()))
        else:
            columns, rows = _table(file, column)
        for index, row in enumerate(rows, start=1):
            number = index if unit == "row" else number
            name, caption = row.get("file_name"), row.get(column)
            if None in row:
                raise ValueError("more fields than columns: a text with a comma stands in quotes")
            if not isinstance(name, str) or not name:
                raise ValueError("no file_name")
            if not isinstance(caption, str | None):
                raise ValueError(f"{column} is no string, but of type {type(caption).__name__}")
            name.encode()  # half of a surrogate pair is no name
            image = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            yield Row(image, caption, columns or row.keys(), f"{one_line(path)}, {unit} {number}")
    except (ValueError, RecursionError, csv.Error) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        place = f", {unit} {number}" if number else ""
        raise MetadataError(f"{one_line(path)}{place}: {reason}") from error


def _object(line: str) -> dict[Any, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def _table(file: BinaryIO, column: str) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """The columns of a Parquet file, and its rows with those that are needed."""
    data = file.read()
    try:
        parquet = pq.ParquetFile(pa.BufferReader(data))
        names = parquet.schema_arrow.names
        if "file_name" not in names:
            raise ValueError(f"no file_name; its columns are {', '.join(names)}")
        table = parquet.read([name for name in dict.fromkeys(("file_name", column)) if name in names])
    except (pa.ArrowException, OSError) as error:  # for damaged bytes pyarrow raises both
        raise ValueError(f"not a sound Parquet file: {' '.join(str(error).split())}") from error
    return names, (row for batch in table.to_batches() for row in batch.to_pylist())
