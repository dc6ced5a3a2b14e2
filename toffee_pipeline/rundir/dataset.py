"""What a run has accepted, as a Hugging Face dataset."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import LocalStorage, Storage, open_storage

if TYPE_CHECKING:
    from datasets import Dataset


def load_pairs(uri: str, endpoint_url: str | None = None, cache_dir: str | None = None) -> Dataset:
    """The pairs that are committed so far, with the columns of `schema.DATA`; no rows where none was accepted. Of a
    subject bank its subjects, with the columns of `schema.SUBJECTS`; of an evaluation its scored pictures, with those
    of `schema.PICTURES`.

    Takes the package `datasets`. Files on S3 are fetched to a temporary folder first.

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
    data = read_run(storage).table.data  # of a mistyped place there would be no files either
    if not (files := data_files(storage)):
        return Dataset.from_dict({name: [] for name in data.names}, features=Features.from_arrow_schema(data))
    with tempfile.TemporaryDirectory() as folder:
        if not isinstance(storage, LocalStorage):
            files = [_fetched(storage, file.removeprefix(f"{storage.uri}/"), Path(folder)) for file in files]
        return load_dataset("parquet", data_files=files, split="train", cache_dir=cache_dir)


def _fetched(storage: Storage, key: str, folder: Path) -> str:
    storage.get_file(key, folder / key)
    return str(folder / key)
