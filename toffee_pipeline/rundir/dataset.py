"""What a run has accepted, as a Hugging Face dataset."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from toffee_pipeline.parquet_file import ParquetFile, read_batches, sound
from toffee_pipeline.rundir.description import ViewRun, read_run
from toffee_pipeline.rundir.layout import DATA
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.rundir.parquet import RowGroups
from toffee_pipeline.rundir.rows import files_of, read_accepted
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import LocalStorage, Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES

if TYPE_CHECKING:
    from datasets import Dataset


def load_pairs(uri: str, endpoint_url: str | None = None, cache_dir: str | None = None) -> Dataset:
    """The pairs that are committed so far, with the columns of `PAIRS.data`; no rows where none was accepted. Of a
    subject bank its subjects, with the columns of `SUBJECTS.data`; of an evaluation its scored pictures, with those
    of `PICTURES.data`.

    Takes the package `datasets`. Files on S3, and the rows of a view, are fetched to a temporary folder first. Each
    file is read once before `datasets` reads it, which believes whatever a file says of its own size.

    Args:
        uri: run directory, a local path or s3://bucket/prefix.
        endpoint_url: S3-compatible storage other than AWS.
        cache_dir: where the rows are kept as Arrow files; by default where `datasets` keeps all of them.

    Raises:
        NoRun, OtherVersion: there is no run of a job that makes a dataset that this code could read.
        DamagedFile: a file is no sound Parquet, or takes more memory than a run's may.
        OSError: the store failed.
    """
    from datasets import Dataset, Features, load_dataset

    storage = open_storage(uri, endpoint_url)
    run = read_run(storage)  # of a mistyped place there would be no files either
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(run, ViewRun) and not run.materialized:
            files = _written(storage, run.table, Path(folder))
        else:
            keys = [file.key for manifest in read_manifests(storage) for file in files_of(manifest, DATA)]
            files = [_checked(storage, key, Path(folder)) for key in keys]
        if files:
            return load_dataset("parquet", data_files=files, split="train", cache_dir=cache_dir)
    data = run.table.data
    return Dataset.from_dict({name: [] for name in data.names}, features=Features.from_arrow_schema(data))


def _written(storage: Storage, table: Table, folder: Path) -> list[str]:
    """The accepted rows of a view, in a file for each shard that has any."""
    files = []
    for manifest in read_manifests(storage):
        path, groups = folder / f"{manifest.shard:06d}.parquet", None
        for _, rows in read_accepted(storage, manifest, table):
            groups = groups or RowGroups(path, rows.schema, table.row_group_size)
            groups.write(rows)
        if groups is not None:
            groups.close()
            files.append(str(path))
    return files


def _checked(storage: Storage, key: str, folder: Path) -> str:
    """The file on this machine, once all of it was read within the bounds of a run's files."""
    if not isinstance(storage, LocalStorage):
        storage.get_file(key, folder / key, MAX_MAPPED_BYTES)
        storage = LocalStorage(str(folder))
    with sound(storage.path_for(key)):
        parquet = ParquetFile(storage.map(key, MAX_MAPPED_BYTES))
        for number in range(parquet.num_row_groups):
            for _ in read_batches(parquet, number):
                pass
    return storage.path_for(key)
