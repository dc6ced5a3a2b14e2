"""A small file that would take gigabytes is refused, in little memory; what a run writes is read as it is."""

import io
import mmap
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.repeated import in_every_row, packed
from toffee_pipeline import parquet_file
from toffee_pipeline.parquet_file import (
    MAX_BATCH_ROWS,
    MAX_TEXT_ROW_BYTES,
    ParquetFile,
    read_batches,
    read_group,
    read_rows,
    stream_images,
    stream_texts,
    with_schema,
)

pytestmark = pytest.mark.slow


def opened(table: pa.Table, **options) -> ParquetFile:
    return ParquetFile(packed(table, **options))


def assert_refused_in_little_memory(file: ParquetFile, max_row_bytes: int) -> None:
    before, limit = pa.default_memory_pool().max_memory(), (file.metadata.num_rows + 1) * max_row_bytes
    with pytest.raises(pa.ArrowInvalid, match=rf"^row group 0 holds more than the {limit} bytes that \d+ rows may$"):
        read_group(file, 0, max_row_bytes=max_row_bytes)
    assert pa.default_memory_pool().max_memory() <= max(before, 6 * limit)


def test_a_group_is_read_as_pyarrow_reads_it():
    rng = np.random.default_rng(0)
    images = [{"bytes": rng.bytes(1000), "path": None} for _ in range(50)]
    file = opened(pa.table({"id": [str(n) for n in range(50)], "image": images, "kind": ["edit"] * 50}))
    for columns in (None, ["image"], ["id", "kind"]):
        assert read_group(file, 0, columns).equals(file.read_row_group(0, columns))
    assert read_rows(file).equals(file.read())


def test_no_rows_and_several_groups():
    table = pa.table({"id": ["a", "b", "c"], "value": [1.0, 2.0, None]})
    assert read_rows(opened(table.slice(0, 0)), ["value"]).equals(table.slice(0, 0).select(["value"]))
    assert read_rows(opened(table, row_group_size=1), num_rows=3).combine_chunks().equals(table)
    with pytest.raises(pa.ArrowInvalid, match="3 rows instead of 2"):
        read_rows(opened(table), num_rows=2)


def test_a_long_value_that_stands_in_every_row():
    """1 GiB in some kB."""
    column = in_every_row(b"\0" * (1 << 20), 1024)
    file = opened(pa.table({"image": column}))
    assert_refused_in_little_memory(file, 8 << 10)


def test_one_long_value():
    assert_refused_in_little_memory(opened(pa.table({"image": [b"\0" * (8 << 20)]}), use_dictionary=False), 4 << 10)


def test_texts_have_less_room_than_images():
    table = pa.table({"error": ["x" * (3 * MAX_TEXT_ROW_BYTES)]})
    assert len(read_group(opened(table), 0)) == 1
    with pytest.raises(pa.ArrowInvalid, match="row group 0 holds more than the 32768 bytes that 1 rows may"):
        read_rows(opened(table))


def test_more_rows_than_a_batch():
    table = pa.table({"id": list(range(MAX_BATCH_ROWS + 7))})
    assert read_group(opened(table), 0).combine_chunks().equals(table)


def test_columns_of_another_version_are_null():
    schema = pa.schema([("id", pa.string()), ("score", pa.float64())])
    assert with_schema(pa.table({"more": [1], "id": ["a"]}), schema).to_pylist() == [{"id": "a", "score": None}]
    with pytest.raises(pa.ArrowException):
        with_schema(pa.table({"score": ["good"]}), schema)


def test_a_whole_file_has_a_bound_too():
    """Groups of which each holds what its rows may."""
    column = in_every_row("x" * (10 << 10), 4000)
    file = opened(pa.table({"error": column}), row_group_size=1000)
    assert read_rows(file, max_bytes=64 << 20).num_rows == 4000
    with pytest.raises(pa.ArrowInvalid, match="^4000 rows hold more than they may$"):
        read_rows(file, max_bytes=16 << 20)


def varint(value: int, length: int = 0) -> bytes:
    """Zigzag, as Thrift writes it; of that length at least."""
    value, digits = 2 * value, []
    while value or len(digits) < max(length, 1):
        digits.append(0x80 | (value & 0x7F))
        value >>= 7
    digits[-1] &= 0x7F
    return bytes(digits)


def with_lying_footer(data: bytes, said: int) -> bytes:
    """The file, whose footer says so many bytes of its only column."""
    length = int.from_bytes(data[-8:-4], "little") + 8
    true = varint(pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).total_uncompressed_size)
    footer = data[-length:]
    assert footer.count(true) >= 1
    return data[:-length] + footer.replace(true, varint(said, len(true)))


@pytest.mark.parametrize("source", ["bytes", "map", "file"])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_footer_that_says_less_than_the_pages_take_is_seen_before_they_are_read(source, rows, tmp_path):
    lying = with_lying_footer(packed(pa.table({"image": [b"\0" * (40 << 20)] * rows}), use_dictionary=False), 1000)
    (tmp_path / "lying").write_bytes(lying)
    with (tmp_path / "lying").open("rb") as opened:
        file = {"bytes": lying, "map": mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), "file": opened}[source]
        parquet, before = ParquetFile(file), pa.default_memory_pool().max_memory()
        for stream in (read_batches, stream_texts, lambda *args: stream_images(*args, ["image"])):
            with pytest.raises(pa.ArrowInvalid, match="column image: its pages take more memory than the footer says"):
                list(stream(parquet, 0))
        assert pa.default_memory_pool().max_memory() <= max(before, 8 << 20)


@pytest.mark.parametrize("options", [{}, {"pre_buffer": False}, {"pre_buffer": False, "buffer_size": 1000}])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_what_is_honest_is_read_however_it_is_packed(codec, version, options):
    """Many small pages, the headers of some of which lie across two reads."""
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "id": [f"row {number}" for number in range(5000)],
            "kind": ["edit", "generation"] * 2500,
            "score": rng.normal(size=5000),
            "words": [["a", "long list"] * (number % 3) for number in range(5000)],
            "verdicts": pa.array([[("a", "passed")]] * 5000, pa.map_(pa.string(), pa.string())),
        }
    )
    data = packed(
        table,
        compression=codec,
        data_page_size=500,
        data_page_version=version,
        write_batch_size=64,
        row_group_size=3000,
    )
    with tempfile.TemporaryFile() as file:
        file.write(data)
        parquet = ParquetFile(file, **options)
        assert read_rows(parquet).equals(table)
        for stream in (stream_texts, lambda *args: stream_images(*args, table.column_names), read_batches):
            found = [batch for number in range(2) for batch in stream(parquet, number)]
            assert pa.Table.from_batches(found).equals(table)


def test_a_footer_that_says_fewer_values_than_the_lists_have():
    data = packed(pa.table({"words": [["a", "b"] * 100]}))
    length = int.from_bytes(data[-8:-4], "little") + 8
    lying = data[:-length] + data[-length:].replace(varint(200), varint(1, 2))
    assert pq.ParquetFile(io.BytesIO(lying)).metadata.row_group(0).column(0).num_values == 1
    with pytest.raises(pa.ArrowInvalid, match="column words.*: its pages have more values than the footer says"):
        read_group(ParquetFile(lying), 0)


def test_bytes_that_are_no_header_of_a_page():
    data = bytearray(packed(pa.table({"id": ["a", "b"]})))
    rng = np.random.default_rng(0)
    for _ in range(300):
        garbled = bytearray(data)
        garbled[4 + rng.integers(60)] = rng.integers(256)
        try:
            read_rows(ParquetFile(bytes(garbled)))
        except parquet_file.DAMAGED as error:
            assert parquet_file.unsound(error)


def test_a_list_may_repeat_a_long_value_more_often_than_there_are_rows():
    """One row of 4 GiB in some kB."""
    lists = pa.ListArray.from_arrays([0, 4096], in_every_row("x" * (1 << 20), 4096))
    file = opened(pa.table({"applies_to": lists}))
    before = pa.default_memory_pool().max_memory()
    for read in (read_group, lambda *args: list(stream_texts(*args))):
        with pytest.raises(pa.ArrowInvalid, match="column applies_to.*: a value of 1048576 bytes in lists"):
            read(file, 0)
    assert pa.default_memory_pool().max_memory() <= max(before, 16 << 20)


@pytest.mark.parametrize("source", [bytes, io.BytesIO])
@pytest.mark.parametrize("size", [1 << 20, 16 << 20])
def test_a_stream_of_texts_holds_few_rows_where_they_are_large(size, source):
    column = in_every_row("x" * size, 512)
    file = ParquetFile(source(packed(pa.table({"text": column}))))
    before, num_rows = pa.default_memory_pool().max_memory(), 0
    with pytest.raises(pa.ArrowInvalid, match="row group 0 holds more than 16384 bytes for a row of texts"):
        for batch in stream_texts(file, 0):
            num_rows += len(batch)
    assert num_rows * size <= 513 * MAX_TEXT_ROW_BYTES
    assert pa.default_memory_pool().max_memory() <= max(before, 3 * parquet_file.MAX_STREAM_BYTES)


def test_images_are_streamed_row_by_row():
    column = in_every_row(b"\0" * (32 << 20), 100)
    file = opened(pa.table({"image": column}))
    before = pa.default_memory_pool().max_memory()
    assert sum(len(batch) for batch in stream_images(file, 0, ["image"])) == 100
    assert pa.default_memory_pool().max_memory() <= max(before, 256 << 20)
