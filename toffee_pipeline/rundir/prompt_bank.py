"""Prompt banks on local disk or S3, row by row."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.plan.prompt_bank import PACKAGED, PromptBank
from toffee_pipeline.plan.prompt_file import check_suffix, parse_rows, write_rows
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.storage import Storage, open_storage

READ_AHEAD_BYTES = 2**20


def load_prompts(config: DatasetConfig) -> PromptBank | None:
    """What a plan of this config draws from beside the catalogue; None where it names no bank. Raises as
    `read_prompt_bank`."""
    if not isinstance(config, RunConfig) or config.pairs.prompt_bank is None:
        return None
    return PromptBank(
        read_prompt_bank(config.pairs.prompt_bank, config.pairs.endpoint_url),
        config.evaluation.allow_benchmark_prompts,
        config.other_languages == "refuse",
        checked=config.pairs.prompt_bank in PACKAGED,
    )


def read_prompt_bank(uri: str, endpoint_url: str | None = None) -> Iterator[PromptRow]:
    """The rows of a bank, streamed in bounded memory.

    uri: a local path or s3://bucket/key that ends in .parquet or .jsonl, or the name of a bank of the package.

    Raises CatalogError that names the file and the place of the first row that is wrong, and as `Storage.open`.
    """
    for place, row in scan_prompt_bank(uri, endpoint_url):
        if isinstance(row, ValueError):
            raise CatalogError(f"prompt bank {uri}: {place}: {row}") from row
        yield row


def scan_prompt_bank(uri: str, endpoint_url: str | None = None) -> Iterator[tuple[str, PromptRow | ValueError]]:
    """As `read_prompt_bank`, but with the place of each row, and a row that is wrong as what is wrong with it."""
    storage, key = _open(str(PACKAGED.get(uri, uri)), endpoint_url)
    with io.BufferedReader(cast(io.RawIOBase, storage.open(key)), READ_AHEAD_BYTES) as file:
        yield from parse_rows(cast(io.BufferedReader, file), key)


def write_prompt_bank(uri: str, rows: Iterable[PromptRow], endpoint_url: str | None = None) -> int:
    """Writes a bank, streamed in bounded memory, and returns its number of rows. What lay there before is replaced as
    a whole, when all rows are written.

    Raises CatalogError for another suffix, and as `Storage.put_file`.
    """
    storage, key = _open(uri, endpoint_url)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / key
        with path.open("wb") as file:
            number = write_rows(file, rows, uri)
        storage.put_file(key, path)
    return number


def _open(uri: str, endpoint_url: str | None) -> tuple[Storage, str]:
    """The folder of the file, and its name."""
    check_suffix(uri)
    folder, _, name = uri.rpartition("/")
    return open_storage(folder or ("/" if uri.startswith("/") else "."), endpoint_url), name
