"""Parquet files of strangers: what damaged ones are known by, and no more of one in memory than a run ever writes."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import DamagedFile, StorageError
from toffee_pipeline.parquet_file.pages import CODECS, Chunk, Pages, PageTooLarge

MAX_GROUP_BYTES = 512 * 2**20
"""Of the values of a row group; ours have half of it (`schema.table.ROW_GROUP_BYTES`) or a single row."""
MAX_TEXT_ROW_BYTES = 16 * 2**10
"""Of the values of a row without images, on average over its row group."""
MAX_BATCH_ROWS = 2**16
MAX_STREAM_BYTES, USUAL_PAGE_BYTES = 256 * 2**20, 4 * 2**20
"""Of the rows in memory at once, of a file that is read from one end to the other; and of a page as most writers make
it: no value in it is larger, so that several rows can be read at once."""
MAX_PAGE_BYTES = 2**30
MAX_LIST_BYTES, BYTES_OF_A_NUMBER = 2**30, 16
"""Of the lists of a column in a row group; and of one number in them, with where its list ends."""
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises for damaged bytes; of a file that a store opened, see `is_of_store`."""


def is_of_store(error: Exception) -> bool:
    """Whether one of `DAMAGED` says that the store failed, and nothing of the bytes."""
    return isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno is not None)


def unsound(error: Exception) -> str:
    """One line about damaged bytes."""
    return f"not a sound Parquet file: {' '.join(str(error).split())}"


@contextmanager
def sound(name: str) -> Iterator[None]:
    """Raises DamagedFile where what is read of a file inside is no sound Parquet. name: of the file."""
    try:
        yield
    except DAMAGED as error:
        if is_of_store(error):
            raise
        raise DamagedFile(f"{name}: {unsound(error)}") from error


class ParquetFile(pq.ParquetFile):
    """As pyarrow's, with the functions below to read it. Nothing in it is believed that costs memory.

    file: is read in parts, or is in memory or mapped.
    """

    def __init__(self, file: BinaryIO | bytes | mmap.mmap, **options: Any) -> None:
        self.pages = Pages(file)
        super().__init__(self.pages.source, **options)


def read_rows(
    parquet: ParquetFile,
    columns: Sequence[str] | None = None,
    num_rows: int | None = None,
    max_row_bytes: int = MAX_TEXT_ROW_BYTES,
    max_bytes: int = MAX_GROUP_BYTES,
) -> pa.Table:
    """The whole of a file of texts and numbers.

    Args:
        num_rows: that it must have.
        max_bytes: of the values of all of them.

    Raises as `read_group`.
    """
    if num_rows is not None and parquet.metadata.num_rows != num_rows:
        raise pa.ArrowInvalid(f"{parquet.metadata.num_rows} rows instead of {num_rows}")
    groups: list[pa.Table] = []
    for number in range(parquet.num_row_groups):
        groups.append(read_group(parquet, number, columns, max_row_bytes))
        max_bytes -= groups[-1].nbytes
        if max_bytes < 0:
            raise pa.ArrowInvalid(f"{parquet.metadata.num_rows} rows hold more than they may")
    return pa.concat_tables(groups) if groups else parquet.read(columns, use_threads=False)


def read_group(
    parquet: ParquetFile, number: int, columns: Sequence[str] | None = None, max_row_bytes: int = MAX_GROUP_BYTES
) -> pa.Table:
    """Row group `number`, as `ParquetFile.read_row_group`, where its values take as much memory as they may.

    max_row_bytes: of the values of a row, on average.

    Raises pa.ArrowInvalid for more than that, or than `MAX_GROUP_BYTES`; and what pyarrow raises for damaged bytes.
    """
    batches = list(read_batches(parquet, number, columns, max_row_bytes))
    return pa.Table.from_batches(batches, batches[0].schema) if batches else parquet.read_row_groups([], columns)


def read_batches(
    parquet: ParquetFile,
    number: int,
    columns: Sequence[str] | None = None,
    max_row_bytes: int = MAX_GROUP_BYTES,
    rows_at_once: int = MAX_BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """As `read_group`, at most so many rows in memory at once."""
    group = _group(parquet, number)
    limit = min(MAX_GROUP_BYTES, (group.num_rows + 1) * max_row_bytes)
    chunks = list(_chunks(parquet, group, columns))
    left = limit
    if sum(chunk.left for chunk in chunks) <= limit:
        # a value counts once in these sizes, and may stand in every row
        room = max(limit, min(MAX_GROUP_BYTES, group.num_rows * MAX_TEXT_ROW_BYTES))
        fitting = max(1, room // max([1, *(chunk.left for chunk in chunks)]))
        parquet.pages.expect(chunks, limit)
        for batch in _iterate(parquet, number, columns, min(rows_at_once, fitting)):
            left -= batch.nbytes
            if left < 0:
                break
            yield batch
        else:
            return
    raise pa.ArrowInvalid(f"row group {number} holds more than the {limit} bytes that {group.num_rows} rows may")


def stream_texts(parquet: ParquetFile, number: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Row group `number` of somebody's file of texts, which may be of any size: a few rows in memory at once.

    Raises as `read_group` where a row has more than `MAX_TEXT_ROW_BYTES` on average.
    """
    group = _group(parquet, number)
    left = (group.num_rows + 1) * MAX_TEXT_ROW_BYTES
    for batch in _few_rows(parquet, number, columns):
        left -= batch.nbytes
        if left < 0:
            raise pa.ArrowInvalid(f"row group {number} holds more than {MAX_TEXT_ROW_BYTES} bytes for a row of texts")
        yield batch


def stream_images(parquet: ParquetFile, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Row group `number` of somebody's file with images, a row at a time: many writers put a group of any size into one
    page. Raises pa.ArrowInvalid for a page of more than `MAX_PAGE_BYTES`, and as pyarrow."""
    try:
        parquet.pages.expect(list(_chunks(parquet, _group(parquet, number), columns)), MAX_PAGE_BYTES)
        yield from _iterate(parquet, number, columns, 1)
    except PageTooLarge as error:
        raise pa.ArrowInvalid(f"row group {number} has a page of more than {MAX_PAGE_BYTES} bytes") from error


def _few_rows(parquet: ParquetFile, number: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """So many that they take `MAX_STREAM_BYTES` at most, of whatever pages."""
    group = _group(parquet, number)
    chunks = list(_chunks(parquet, group, columns))
    num_bytes = sum(max(1, chunk.left) for chunk in chunks)
    usual = max(1, MAX_STREAM_BYTES // USUAL_PAGE_BYTES // max(1, len(chunks)))
    any_yet = False
    try:
        parquet.pages.expect(chunks, USUAL_PAGE_BYTES)
        for batch in _iterate(parquet, number, columns, usual):
            any_yet = True
            yield batch
        return
    except PageTooLarge:
        # columns are read as a whole, before the first row
        if any_yet or num_bytes > MAX_GROUP_BYTES:
            raise pa.ArrowInvalid(
                f"row group {number} has large pages, and more than {MAX_GROUP_BYTES} bytes"
            ) from None
    parquet.pages.expect(list(_chunks(parquet, group, columns)), MAX_GROUP_BYTES)
    yield from _iterate(parquet, number, columns, max(1, min(usual, MAX_STREAM_BYTES // num_bytes)))


def _iterate(
    parquet: ParquetFile, number: int, columns: Sequence[str] | None, rows_at_once: int
) -> Iterator[pa.RecordBatch]:
    yield from parquet.iter_batches(rows_at_once, row_groups=[number], columns=columns, use_threads=False)


def _group(parquet: ParquetFile, number: int) -> Any:
    if number >= parquet.num_row_groups:
        raise pa.ArrowInvalid(f"it has {parquet.num_row_groups} row groups, and none of number {number}")
    return parquet.metadata.row_group(number)


def _chunks(parquet: ParquetFile, group: Any, columns: Sequence[str] | None) -> Iterator[Chunk]:
    """Of the columns that are read. Of one without values pyarrow looks at no page."""
    for index in range(group.num_columns):
        column = group.column(index)
        name = column.path_in_schema
        if column.num_values == 0 or (columns is not None and name.partition(".")[0] not in columns):
            continue
        first = column.data_page_offset
        if column.has_dictionary_page and 0 < column.dictionary_page_offset < first:
            first = column.dictionary_page_offset
        chunk = Chunk(name, first, first + column.total_compressed_size, column.total_uncompressed_size)
        if parquet.schema.column(index).max_repetition_level:
            _bound_lists(chunk, column)
        yield chunk


def _bound_lists(chunk: Chunk, column: Any) -> None:
    """A row may have all values of a column of lists, and each may be the longest."""
    fitting = MAX_LIST_BYTES // column.num_values
    packed_by_the_one_before = "DELTA_BYTE_ARRAY" in column.encodings and chunk.left > fitting
    if fitting < BYTES_OF_A_NUMBER or packed_by_the_one_before or column.compression not in CODECS:
        raise pa.ArrowInvalid(
            f"column {chunk.name}: lists of {column.num_values} values are not read as they are packed"
        )
    if column.physical_type == "BYTE_ARRAY":
        chunk.codec, chunk.max_value_bytes = column.compression, fitting
    chunk.values_left = column.num_values


def with_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Its columns, in their order; one that is missing is null. Raises pa.ArrowException for values of other types."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
