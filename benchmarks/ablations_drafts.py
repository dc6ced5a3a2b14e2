"""The pairs of a run as they were before refining and filtering, for variant -R: the same plan, nothing made anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import DataError
from toffee_pipeline.images import decode, decode_mask, encode_png
from toffee_pipeline.models.blended import composite
from toffee_pipeline.rundir.layout import DATA, REJECTED
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.rundir.rows import files_of, home_of
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage, open_storage

NEEDED = ("input_image", "target_image", "mask", "draft_image")


def write_drafts(run: str, folder: Path) -> int:
    """Writes a Parquet file for each shard of the run into a folder that is not there yet; returns the number of pairs.

    A pair is taken whatever its verdict, where the run kept its images (`output.keep`). Its target is the draft: of an
    edit, inside the mask. A removal is an addition turned round, which the Refiner takes no part in, and stays.

    Raises DataError where no pair has its images.
    """
    storage = open_storage(run)
    half = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    count = 0
    for manifest in read_manifests(storage):
        home = home_of(storage, manifest)
        rows = [row for file in files_of(manifest, DATA, REJECTED) for row in _rows(home, file.key)]
        if rows:
            table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["pair_id"]), PAIRS.data)
            pq.write_table(table, half / f"drafts-{manifest.shard:06d}.parquet")
        count += len(rows)
    if not count:
        raise DataError(f"{run}: no pair with its draft; it needs output.keep=all")
    half.rename(folder)
    return count


def _rows(storage: Storage, key: str) -> list[dict[str, Any]]:
    with storage.open(key) as file:
        rows = pq.read_table(file).to_pylist()
    return [_unrefined(row) for row in rows if all(row[column] for column in NEEDED)]


def _unrefined(row: dict[str, Any]) -> dict[str, Any]:
    target = row["draft_image"]
    if row["reversed_from"] is not None:
        target = row["target_image"]
    elif row["kind"] == "edit":
        name = row["pair_id"]
        draft, image, mask = (row[column]["bytes"] for column in ("draft_image", "input_image", "mask"))
        painted = composite(decode(draft, name), decode(image, name), decode_mask(mask, name))
        target = {"bytes": encode_png(painted), "path": None}
    return {**row, "target_image": target, "status": "accepted", "reason": None}
