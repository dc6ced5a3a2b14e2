"""Prompt banks on local disk and S3."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.helpers.repeated import in_every_row, packed
from toffee_pipeline.errors import CatalogError, MissingKey
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.rundir.prompt_bank import read_prompt_bank, write_prompt_bank

ROWS = [
    PromptRow(category="background", change=f"on quay {number}", source="hand-written", license="CC0-1.0")
    for number in range(5000)
]


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.parquet"])
def test_a_bank_on_local_disk(tmp_path, name):
    uri = str(tmp_path / "new" / name)
    assert write_prompt_bank(uri, ROWS) == len(ROWS)
    assert list(read_prompt_bank(uri)) == ROWS


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.parquet"])
def test_a_bank_on_s3(s3, name):
    folder, endpoint = s3
    assert write_prompt_bank(f"{folder}/{name}", ROWS, endpoint) == len(ROWS)
    assert list(read_prompt_bank(f"{folder}/{name}", endpoint)) == ROWS


def test_a_bank_that_cannot_be_written_leaves_the_old_one(tmp_path):
    uri = str(tmp_path / "bank.jsonl")
    write_prompt_bank(uri, ROWS[:1])

    def broken() -> Iterator[PromptRow]:
        yield ROWS[1]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_prompt_bank(uri, broken())
    assert list(read_prompt_bank(uri)) == ROWS[:1]


def test_a_row_that_is_wrong_is_named(tmp_path):
    path = tmp_path / "bank.jsonl"
    write_prompt_bank(str(path), ROWS[:1])
    path.write_bytes(path.read_bytes() + b'{"category": "style"}\n')
    rows = read_prompt_bank(str(path))
    assert next(rows) == ROWS[0]
    with pytest.raises(CatalogError, match=f"^prompt bank {path}: line 2: change: Field required$"):
        next(rows)


@pytest.mark.parametrize("num_values", [1, 4096])
def test_a_long_text_in_every_row_or_list_takes_no_memory(tmp_path, num_values):
    """Gigabytes in some kB."""
    path, long = tmp_path / "bank.parquet", "x" * (1 << 20)
    num_rows = 2048 // num_values + 1
    rows = {name: [name] * num_rows for name in ("category", "change", "license")}
    ends = pa.array(range(0, num_rows * num_values + 1, num_values), pa.int32())
    rows["applies_to"] = pa.ListArray.from_arrays(ends, in_every_row(long, num_rows * num_values))
    rows["source"] = in_every_row(long, num_rows)
    path.write_bytes(packed(pa.table(rows)))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(CatalogError, match=f"^prompt bank {path.name}: not a sound Parquet file: ") as caught:
        list(read_prompt_bank(str(path)))
    assert "\n" not in str(caught.value)
    assert pa.default_memory_pool().max_memory() <= max(before, 1 << 30)


def test_no_such_bank(tmp_path):
    with pytest.raises(MissingKey, match=r"no\.jsonl: no such key"):
        next(read_prompt_bank(str(tmp_path / "no.jsonl")))
