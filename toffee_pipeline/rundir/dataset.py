"""What a run has accepted, as a Hugging Face dataset."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.rundir.description import ViewRun, read_run
from toffee_pipeline.rundir.manifests import data_files, read_manifests
from toffee_pipeline.rundir.rows import read_accepted
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import LocalStorage, Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES

if TYPE_CHECKING:
    from datasets import Dataset


def load_pairs(uri: str, endpoint_url: str | None = None, cache_dir: str | None = None) -> Dataset:
    """The pairs that are committed so far, with the columns of `PAIRS.data`; no rows where none was accepted. Of a
    subject bank its subjects, with the columns of `SUBJECTS.data`; of an evaluation its scored pictures, with those
    of `PICTURES.data`.

    Takes the package `datasets`. Files on S3, and the rows of a view, are fetched to a temporary folder first.

    Args:
        uri: run directory, a local path or s3://bucket/prefix.
        endpoint_url: S3-compatible storage other than AWS.
        cache_dir: where the rows are kept as Arrow files; by default where `datasets` keeps all of them.

    Raises:
        NoRun, OtherVersion: there is no run of a job that makes a dataset that this code could read.
        OSError: the store failed.
    """
    from datasets import Dataset, Features, load_dataset

    storage = open_storage(uri, endpoint_url)
    run = read_run(storage)  # of a mistyped place there would be no files either
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(run, ViewRun) and not run.materialized:
            files = _written(storage, run.table, Path(folder))
        elif isinstance(storage, LocalStorage):
            files = data_files(storage)
        else:
            keys = [file.removeprefix(f"{storage.uri}/") for file in data_files(storage)]
            files = [_fetched(storage, key, Path(folder)) for key in keys]
        if files:
            return load_dataset("parquet", data_files=files, split="train", cache_dir=cache_dir)
    data = run.table.data
    return Dataset.from_dict({name: [] for name in data.names}, features=Features.from_arrow_schema(data))


def _written(storage: Storage, table: Table, folder: Path) -> list[str]:
    """The accepted rows of a view, in a file for each shard that has any."""
    files = []
    for manifest in read_manifests(storage):
        if accepted := [rows for _, rows in read_accepted(storage, manifest, table)]:
            files.append(str(folder / f"{manifest.shard:06d}.parquet"))
            pq.write_table(pa.concat_tables(accepted), files[-1], row_group_size=table.row_group_size)
    return files


def _fetched(storage: Storage, key: str, folder: Path) -> str:
    storage.get_file(key, folder / key, MAX_MAPPED_BYTES)
    return str(folder / key)
