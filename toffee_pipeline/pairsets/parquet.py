"""Pairs of Parquet files with images as of Hugging Face: Subjects200K, OmniEdit, InstructPix2Pix's own set there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from toffee_pipeline.config.refine_pairs import ParquetPairs
from toffee_pipeline.errors import ImageError, MissingKey, PlanError
from toffee_pipeline.images import decode
from toffee_pipeline.pairsets.given import (
    Count,
    broken_pair,
    check_columns,
    images_of,
    no_images,
    pair_of,
    read_place,
    root_of,
    value_of,
)
from toffee_pipeline.pairsets.listing import visible
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, stream_images, stream_texts, unsound
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.plan.refinement import GivenPair, LazyImages
from toffee_pipeline.storage import Storage

BUFFER_BYTES = 4 * 1024 * 1024
"""What is fetched at once of a row group's column."""
PLACE = TypeAdapter(tuple[str, Count, Count])
"""Of a pair: its file, row group, and row in that."""


class ParquetFiles:
    """A pair for each row, file by file. Of a row group only the rows up to the last one that is wanted are read."""

    def __init__(self, source: ParquetPairs, storage: Storage) -> None:
        self._source, self._columns, self._storage = source, source.columns, storage
        self._roots = list(dict.fromkeys(root_of(column) for column in (source.columns.input, source.columns.edited)))

    def files(self, key: str) -> bool:
        return key.endswith(".parquet")

    def pairs(self) -> Iterator[GivenPair]:
        keys = [key for key, _ in visible(self._storage) if self.files(key)]
        if not keys:
            raise PlanError(
                f"source.path: {self._storage.uri}: no *.parquet there; format=parquet is a folder of Parquet files"
            )
        for key in keys:
            with self._storage.open(key) as file:
                try:
                    parquet = ParquetFile(file)
                    texts = self._text_columns(key, parquet.schema_arrow)
                except DAMAGED as error:
                    yield broken_pair(self._source, key, _damage(error))
                    continue
                for group in range(parquet.num_row_groups):
                    yield from self._of_group(parquet, key, group, texts)

    def images(self, places: Sequence[str]) -> list[LazyImages]:
        """Fetches them at once."""
        found: list[LazyImages] = []
        rows = (read_place(PLACE, place) for place in places)
        for (key, group), of_group in groupby(rows, key=lambda row: row[:2]):
            found += self._images(key, group, [row for _, _, row in of_group])
        return found

    def _of_group(self, parquet: ParquetFile, key: str, group: int, texts: list[str]) -> Iterator[GivenPair]:
        number, problem = 0, "its row group has fewer rows than it says"
        try:
            for batch in stream_texts(parquet, group, texts):
                for row in batch.to_pylist():
                    yield pair_of(self._source, self._columns, row, _name(key, group, number), [key, group, number])
                    number += 1
        except DAMAGED as error:
            problem = _damage(error)
        for lost in range(number, parquet.metadata.row_group(group).num_rows):
            yield broken_pair(self._source, _name(key, group, lost), problem)

    def _text_columns(self, key: str, schema: pa.Schema) -> list[str]:
        """Columns without an image. Raises PlanError for a column that is not there."""
        check_columns(self._columns, schema.names, self._storage.path_for(key))
        return [field.name for field in schema if field.name not in self._roots and not _holds_bytes(field.type)]

    def _images(self, key: str, group: int, rows: list[int]) -> list[LazyImages]:
        """Of some rows of one row group, in rising order."""
        found: dict[int, LazyImages] = {}
        try:
            with self._storage.open(key) as file:
                parquet = ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
                wanted, last = set(rows), max(rows)
                for number, batch in enumerate(stream_images(parquet, group, self._roots)):
                    if number in wanted:
                        (row,) = batch.to_pylist()
                        found[number] = self._of_row(row, _name(key, group, number))
                    if number >= last:
                        break
        except MissingKey:
            problem = "not there any more"
        except DAMAGED as error:
            problem = _damage(error)
        else:
            problem = "its row group has fewer rows than it had"
        return [found.get(number) or no_images(f"{_name(key, group, number)}: {problem}") for number in rows]

    def _of_row(self, row: dict[str, Any], name: str) -> LazyImages:
        columns = (self._columns.input, self._columns.edited)
        return images_of(
            self._columns, *(partial(_decode, value_of(row, column), f"{name}: {column}") for column in columns)
        )


def _decode(value: Any, name: str) -> np.ndarray:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise ImageError(f"{name}: no image")
    return decode(data, name)


def _damage(error: Exception) -> str:
    """Raises the error again where it is the store's."""
    if is_of_store(error):
        raise error
    return unsound(error)


def _name(key: str, group: int, row: int) -> str:
    return f"{one_line(key)}, row group {group}, row {row}"


def _holds_bytes(kind: pa.DataType) -> bool:
    """Of an image, or of a list or struct with one."""
    if pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return any(_holds_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
