"""How the rows of a file are grouped: by number, and by what a viewer reads at once."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.rundir.parquet import RowGroups, to_parquet
from toffee_pipeline.schema.table import ROW_GROUP_BYTES

MIB = 2**20


def group_sizes(table, row_group_size):
    return sizes_in(io.BytesIO(to_parquet(table, row_group_size)))


def sizes_in(file):
    metadata = pq.ParquetFile(file).metadata
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_a_group_has_no_more_rows_than_asked_for():
    assert group_sizes(pa.table({"image": [b"small"] * 150}), 40) == [40, 40, 40, 30]


def test_nor_more_bytes_than_a_viewer_reads():
    row = pa.table({"image": [bytes(4 * MIB)]})
    rows = pa.concat_tables([row] * 70)  # that share the memory of one
    largest, rest = group_sizes(rows, 100)
    assert largest + rest == 70 and largest * 4 * MIB <= ROW_GROUP_BYTES < (largest + 2) * 4 * MIB


def test_groups_that_are_filled_bit_by_bit_keep_both_bounds(tmp_path):
    small, large = pa.table({"image": [b"small"] * 15}), pa.table({"image": [bytes(100 * MIB)]})
    groups = RowGroups(tmp_path / "file", small.schema, 40)
    for rows in (*[small] * 4, small.slice(0, 0), *[large] * 3):
        groups.write(rows)
    groups.close()
    assert groups.num_rows == 63 and sizes_in(tmp_path / "file") == [40, 22, 1]
    assert pq.read_table(tmp_path / "file").equals(pa.concat_tables([*[small] * 4, *[large] * 3]))
