"""The accepted pairs of a run of `jobs/generate.py`, or subjects of a bank of `jobs/generate_subjects.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.config.train import RunSource
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.images import black_out, decode, decode_depth, decode_mask
from toffee_pipeline.rundir.commit import read_manifests
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.schema import PAIRS, SUBJECTS, Table
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.records import Record

IMAGES = ("input_image", "target_image", "mask", "depth", "subject_image")
COLUMNS = {
    PAIRS.row: (*IMAGES, "pair_id", "subject_id", "kind", "class_name", "prompt"),
    SUBJECTS.row: (*SUBJECTS.images, "subject_id", "class_name", "prompt"),
}


class Run:
    """The pairs, or a bank's subjects, in the folder `data` of a run directory, committed shards only; a run under way
    may be read."""

    def __init__(self, config: RunSource) -> None:
        self._storage = open_storage(config.path, config.endpoint_url)

    def files(self) -> list[str]:
        """Keys of the Parquet files, by shard number. Raises as `read_run` and `read_manifests`."""
        if read_run(self._storage).table.row not in COLUMNS:
            raise DataError(f"{self._storage.uri}: allowed are runs of jobs/generate.py and jobs/generate_subjects.py")
        files = [file for manifest in read_manifests(self._storage) for file in manifest.files]
        keys = [file.key for file in files if file.folder == "data"]
        if not keys:
            raise DataError(
                f"{self._storage.uri}: no committed shard with accepted rows; "
                "format=run is the output of jobs/generate.py or jobs/generate_subjects.py"
            )
        return keys

    def read(self, file: str) -> Iterator[Record]:
        """The rows of a shard, their images all (size_px, size_px, 3) of the run.

        Of a pair the images are "input" and "target"; for edit pairs "masked", the input with the mask in black; and
        "subject", the image that a subject's pairs are made from, with the first pair of each subject only: none
        counts several times. mask: of edit pairs only. depth: of the subject image. Of a bank the images are "subject"
        alone, and there is no mask: all of it is to be drawn.

        Raises DataError where columns are missing.
        """
        name = self._storage.path_for(file)
        seen: set[str] = set()
        for row in _rows(self._storage.get(file), name):
            yield _pair(row, first=row["subject_id"] not in seen) if PAIRS.id in row else _subject(row)
            seen.add(row["subject_id"])


def _rows(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, one row group in memory at a time."""
    try:
        parquet = pq.ParquetFile(pa.BufferReader(data))
        schema = parquet.schema_arrow
        table = SUBJECTS if set(SUBJECTS.images) <= set(schema.names) else PAIRS
        _check_columns(schema, table, name)
        for number in range(parquet.num_row_groups):
            yield from parquet.read_row_group(number, columns=list(COLUMNS[table.row]), use_threads=False).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # pyarrow raises all three for damaged bytes
        raise BrokenFile(f"{name}: not a sound Parquet file: {' '.join(str(error).split())}") from error


def _check_columns(schema: pa.Schema, table: Table, name: str) -> None:
    columns = COLUMNS[table.row]
    wrong = [column for column in columns if schema.get_field_index(column) < 0]
    wrong = wrong or [column for column in columns if schema.field(column).type != table.data.field(column).type]
    if wrong:
        raise DataError(f"{name}: columns missing or of another type than in a run: {', '.join(wrong)}")


def _subject(row: dict[str, Any]) -> Record:
    key = row["subject_id"]
    image, depth = ((row[column] or {}).get("bytes") for column in ("image", "depth"))
    return Record(
        key=key,
        images={"subject": partial(_image, image, f"{key} subject")},
        text=row["prompt"],
        depth=None if depth is None else partial(decode_depth, depth, f"{key} depth"),
        class_name=row["class_name"],
    )


def _pair(row: dict[str, Any], first: bool) -> Record:
    data = {column: (row[column] or {}).get("bytes") for column in IMAGES}
    key, edited = row["pair_id"], row["kind"] == "edit"
    images = {
        "input": partial(_image, data["input_image"], f"{key} input"),
        "target": partial(_image, data["target_image"], f"{key} target"),
    }
    if edited:
        images["masked"] = partial(_masked, data["input_image"], data["mask"], key)
    if first:
        images["subject"] = partial(_image, data["subject_image"], f"{key} subject")
    return Record(
        key=key,
        images=images,
        text=row["prompt"],
        mask=partial(_mask, data["mask"], key) if edited else None,
        depth=None if data["depth"] is None else partial(decode_depth, data["depth"], f"{key} depth"),
        class_name=row["class_name"],
        kind=row["kind"],
    )


def _image(data: bytes | None, name: str) -> np.ndarray:
    return decode(_present(data, name), name)


def _mask(data: bytes | None, key: str) -> np.ndarray:
    return decode_mask(_present(data, f"{key} mask"), f"{key} mask")


def _masked(image: bytes | None, mask: bytes | None, key: str) -> np.ndarray:
    rgb, inside = _image(image, f"{key} input"), _mask(mask, key)
    if rgb.shape[:2] != inside.shape:
        raise ImageError(f"{key}: the input is {rgb.shape[:2]}, its mask {inside.shape}; allowed is the same size")
    return black_out(rgb, inside)


def _present(data: bytes | None, name: str) -> bytes:
    if data is None:
        raise ImageError(f"{name}: there is none in its row")
    return data
