"""One pair as a run has stored it: what its rows say, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from toffee_pipeline.errors import DamagedFile, MissingKey, RunError
from toffee_pipeline.plan.plan import shard_of_pair
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.layout import LEDGER
from toffee_pipeline.rundir.manifests import DataFile, read_manifest
from toffee_pipeline.rundir.parquet import DAMAGED, is_of_store, unsound
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import Storage


@dataclass(frozen=True)
class StoredPair:
    """row: of the ledger. addition: the row of the pair that it turns round. images: encoded, by column; without those
    that it never had."""

    shard: int
    row: dict[str, Any]
    addition: dict[str, Any] | None
    images: dict[str, bytes]


def read_pair(storage: Storage, run: GenerationRun, pair_id: str) -> StoredPair:
    """Reads the ledger of its shard, and of the pictures the row group that holds them.

    Raises:
        PlanError: the run has no such pair.
        RunError: its shard is not committed, or no pictures of it are kept.
        DamagedFile, OtherVersion, OSError: as `read_manifest`.
    """
    shard = shard_of_pair(run.config, pair_id)
    try:
        files = read_manifest(storage, shard).files
    except MissingKey as error:
        raise RunError(f"{pair_id}: its shard {shard} of {storage.uri} is not committed yet") from error
    (ledger,) = (file for file in files if file.folder == LEDGER)
    rows = _ledger_rows(storage, ledger)
    if (row := rows.get(pair_id)) is None:
        raise DamagedFile(f"{storage.path_for(ledger.key)}: damaged: no row of {pair_id}")
    if row["status"] == "failed":
        raise RunError(f"{pair_id} failed, so that there is nothing to compare with: {row['error']}")
    for file in files:
        if file is not ledger and (images := _images(storage, file, pair_id)):
            return StoredPair(shard, row, rows.get(row["reversed_from"]), images)
    raise RunError(f"{pair_id} is {row['status']} ({row['reason']}), and the run keeps no pictures of such a pair")


def _ledger_rows(storage: Storage, file: DataFile) -> dict[str, dict[str, Any]]:
    with _opened(storage, file) as parquet:
        return {row["pair_id"]: row for row in parquet.read().to_pylist()}


def _images(storage: Storage, file: DataFile, pair_id: str) -> dict[str, bytes]:
    """Of the pair's row in a file of `data`; none where it is not there."""
    with _opened(storage, file) as parquet:
        for group in range(parquet.num_row_groups):
            place = pc.index(parquet.read_row_group(group, ["pair_id"])["pair_id"], pair_id).as_py()
            if place >= 0:
                (row,) = parquet.read_row_group(group, list(IMAGE_COLUMNS)).slice(place, 1).to_pylist()
                return {name: cell["bytes"] for name, cell in row.items() if cell is not None}
    return {}


@contextmanager
def _opened(storage: Storage, file: DataFile) -> Iterator[pq.ParquetFile]:
    try:
        with storage.open(file.key) as opened:
            yield pq.ParquetFile(opened, pre_buffer=True)
    except DAMAGED as error:
        if is_of_store(error):
            raise
        raise DamagedFile(f"{storage.path_for(file.key)}: {unsound(error)}") from error
