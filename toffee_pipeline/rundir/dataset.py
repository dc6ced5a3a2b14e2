"""A run's accepted pairs as a Hugging Face dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toffee_pipeline.rundir.commit import data_files
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.schema import DATA
from toffee_pipeline.storage import open_storage

if TYPE_CHECKING:
    from datasets import Dataset


def load_pairs(uri: str, endpoint_url: str | None = None, cache_dir: str | None = None) -> Dataset:
    """The pairs that are committed so far, with the columns of `schema.DATA`; no rows where none was accepted.

    Takes the package `datasets`, and for s3:// also `s3fs`.

    Args:
        uri: run directory, a local path or s3://bucket/prefix.
        endpoint_url: S3-compatible storage other than AWS.
        cache_dir: where the rows are kept as Arrow files; by default where `datasets` keeps all of them.

    Raises:
        NoRun, OtherVersion: there is no run of jobs/generate.py that this code could read.
        OSError: the store failed.
    """
    from datasets import Dataset, Features, load_dataset

    storage = open_storage(uri, endpoint_url)
    read_run(storage)  # of a mistyped place there would be no files either
    if not (files := data_files(storage)):
        return Dataset.from_dict({name: [] for name in DATA.names}, features=Features.from_arrow_schema(DATA))
    options = {"endpoint_url": endpoint_url} if endpoint_url else None
    return load_dataset("parquet", data_files=files, split="train", cache_dir=cache_dir, storage_options=options)
