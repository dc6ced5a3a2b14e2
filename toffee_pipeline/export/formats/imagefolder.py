"""Files in folders with metadata, as Hugging Face's imagefolder and most trainers of single images read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from toffee_pipeline.export.formats.base import SUFFIXES, Format, Writer, images_of, texts_of
from toffee_pipeline.export.formats.parquet import ParquetWriter
from toffee_pipeline.export.rows import SCHEMA, Row
from toffee_pipeline.schema.pairs import FILE_NAME_COLUMNS, IMAGE_COLUMNS

_OTHERS = set(FILE_NAME_COLUMNS.values()) - {"file_name"}
METADATA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("file_name", *sorted(_OTHERS), "text")),
        *(field for field in SCHEMA if field.name not in IMAGE_COLUMNS),
    ]
)
"""`file_name` comes first, since `datasets` gives it to the first image that it meets. text: the target's caption, as
trainers of single images look for it."""


class FolderWriter(Writer):
    """`metadata.parquet` names the files beside it. Of JSON lines readers guess types, and trip over columns that are
    null in one folder and not in the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metadata = ParquetWriter(folder / "metadata.parquet", METADATA, _line)

    def write(self, row: Row) -> None:
        for _, name, data in _files(row):
            (self._folder / name).write_bytes(data)
        self._metadata.write(row)

    def close(self) -> list[str]:
        return self._metadata.close()


class ImageFolder(Format):
    """A folder for each part, split and kind."""

    tail = "/*"
    per_image = (*SUFFIXES.values(), "c2pa")

    def open(self, folder: Path, split: str, kind: str, number: int, max_pixels: int) -> Writer:
        return FolderWriter(folder / self.stem(split, kind, number))


def _line(row: Row) -> Row:
    named = {FILE_NAME_COLUMNS[column]: name for column, name, _ in _files(row)}
    return {**texts_of(row), **named, "text": row["prompt"]}


def _files(row: Row) -> Iterable[tuple[str, str, bytes]]:
    """Column, file name and bytes of each image."""
    return ((column, f"{row['pair_id']}.{column}.{suffix}", data) for column, suffix, data in images_of(row))
