"""Prompt banks on local disk and S3."""

from collections.abc import Iterator

import pytest

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


def test_no_such_bank(tmp_path):
    with pytest.raises(MissingKey, match=r"no\.jsonl: no such key"):
        next(read_prompt_bank(str(tmp_path / "no.jsonl")))
