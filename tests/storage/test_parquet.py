"""A small file that would take gigabytes is refused, in little memory; what a run writes is read as it is."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toffee_pipeline.storage.parquet import MAX_BATCH_ROWS, MAX_TEXT_ROW_BYTES, read_group, read_rows, with_schema


def opened(table: pa.Table, **options) -> pq.ParquetFile:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", **options)
    assert file.tell() < 4e6
    file.seek(0)
    return pq.ParquetFile(file)


def assert_refused_in_little_memory(file: pq.ParquetFile, max_row_bytes: int) -> None:
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
    """As a dictionary it is stored once: 1 GiB in some kB."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1024, np.int32)), pa.array([b"\0" * (1 << 20)]))
    file = opened(pa.table({"image": column}), store_schema=False, dictionary_pagesize_limit=1 << 30)
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
