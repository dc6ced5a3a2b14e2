"""The accepted pairs of a run of `jobs/generate.py`, or subjects of a bank of `jobs/generate_subjects.py`: a run
directory, or its Parquet files alone, as they are downloaded."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.config.train import RunSource
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.images import MAX_PIXELS, black_out, decode, decode_depth, decode_mask
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, read_group, unsound
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.layout import DATA, RUN, SHARD_FILE
from toffee_pipeline.rundir.manifests import Manifest, read_manifest, read_manifests
from toffee_pipeline.rundir.rows import as_judged, files_of, files_of_accepted, home_of
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.subjects import SUBJECTS
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES
from toffee_pipeline.train.data.records import Record

IMAGES = ("input_image", "target_image", "mask", "depth", "subject_image")
COLUMNS = {
    PAIRS.row: (*IMAGES, "pair_id", "subject_id", "kind", "class_name", "prompt", "status"),
    SUBJECTS.row: (*SUBJECTS.images, "subject_id", "class_name", "prompt", "status"),
}
PARQUET = re.compile(r"(data/)?[^/._][^/]*\.parquet")
"""Parquet files of a folder, or of `data/` in it; names with a dot or an underscore in front are no data."""

OF_VIEW = re.compile(r"shard (\d+) of view ([0-9a-f]+)")


class Run:
    """The pairs, or a bank's subjects, in the folder `data` of a run directory, committed shards only; a run under way
    may be read, and a view of a run. Where there is no run.json: of all Parquet files in `data`, or else in the folder,
    or of the one file that the path names; of these the accepted rows."""

    def __init__(self, config: RunSource) -> None:
        folder, _, name = config.path.rpartition("/")
        self._single = name if name.endswith(".parquet") else None
        self._storage = open_storage(folder if self._single else config.path, config.endpoint_url)

    def files(self) -> list[str]:
        """The keys of each shard's Parquet files, a line each: by shard number, or by name. Of a view names of its
        shards, which change with their verdicts.

        Raises as `read_run` and `read_manifests`.
        """
        if self._single or not self._storage.exists(RUN):
            return self._without_manifests()
        if read_run(self._storage).table.row not in COLUMNS:
            raise DataError(f"{self._storage.uri}: allowed are runs of jobs/generate.py and jobs/generate_subjects.py")
        shards = [shard for manifest in read_manifests(self._storage) if (shard := _name(manifest))]
        if not shards:
            raise DataError(
                f"{self._storage.uri}: no committed shard with accepted rows; "
                "format=run is the output of jobs/generate.py or jobs/generate_subjects.py"
            )
        return shards

    @cached_property
    def _max_pixels(self) -> int:
        """Of an image: the run's own size, where it is known."""
        whole = not self._single and self._storage.exists(RUN)
        return read_run(self._storage).config.max_pixels if whole else MAX_PIXELS

    def _without_manifests(self) -> list[str]:
        if self._single:
            keys = [self._single] if self._storage.exists(self._single) else []
        else:
            keys = [key for key, _ in self._storage.list("data/") if PARQUET.fullmatch(key)]
            keys = keys or [key for key, _ in self._storage.list() if PARQUET.fullmatch(key)]
        if not keys:
            missing = self._single or f"{RUN}, data/*.parquet or *.parquet"
            raise DataError(
                f"{self._storage.uri}: no {missing} there; format=run is the output of jobs/generate.py or "
                "jobs/generate_subjects.py, or Parquet files of it"
            )
        with suppress(BrokenFile), self._storage.open(keys[0]) as file:  # what is broken is named when it is read
            _open(file, self._storage.path_for(keys[0]))
        return _by_shard(keys)

    def read(self, file: str) -> Iterator[Record]:
        """The rows of a shard, their images all (size_px, size_px, 3) of the run.

        Of a pair the images are "input" and "target"; for edit pairs "masked", the input with the mask in black; and
        "subject", the image that a subject's pairs are made from, with the first pair of each subject only: none
        counts several times. mask: of edit pairs only. depth: of the subject image. Of a bank the images are "subject"
        alone, and there is no mask: all of it is to be drawn.

        Raises DataError where columns are missing.
        """
        seen: set[str] = set()
        for storage, key, manifest in self._parts(file):
            for row in accepted_rows(storage, key, manifest):
                sample = f"{key}: {row[PAIRS.id] if PAIRS.id in row else row[SUBJECTS.id]}"
                yield (
                    pair_record(row, sample, row["subject_id"] not in seen, self._max_pixels)
                    if PAIRS.id in row
                    else _subject(row, sample, self._max_pixels)
                )
                seen.add(row["subject_id"])

    def _parts(self, file: str) -> Iterator[tuple[Storage, str, Manifest | None]]:
        """The Parquet files behind a name, where they lie, and of a view the manifest, whose verdicts count."""
        if (shard := OF_VIEW.fullmatch(file)) is None:
            yield from ((self._storage, key, None) for key in file.splitlines())
            return
        manifest = read_manifest(self._storage, int(shard[1]))
        if manifest.attempt != shard[2]:
            raise DataError(f"{self._storage.uri}: shard {manifest.shard} has changed since the training began")
        home = home_of(self._storage, manifest)
        yield from ((home, each.key, manifest) for each in files_of_accepted(manifest))


def _name(manifest: Manifest) -> str:
    """As `Run.files` names the shard; "" where it has no accepted row."""
    if manifest.view is None:
        return "\n".join(file.key for file in files_of(manifest, DATA))
    return f"shard {manifest.shard} of view {manifest.attempt}" if manifest.counts.accepted else ""


def _by_shard(keys: Sequence[str]) -> list[str]:
    """A shard has a file for each kind of pair, and a subject's pairs may lie in both."""
    shards: dict[str, list[str]] = {}
    for key in keys:
        shards.setdefault(key.partition("-")[2] if SHARD_FILE.fullmatch(key) else key, []).append(key)
    return ["\n".join(files) for files in shards.values()]


def accepted_rows(storage: Storage, key: str, manifest: Manifest | None = None) -> Iterator[dict[str, Any]]:
    """The accepted rows of a Parquet file, one row group in memory at a time. manifest: whose verdicts count."""
    name = storage.path_for(key)
    parquet, columns = _open(storage.map(key, MAX_MAPPED_BYTES), name)
    try:
        for number in range(parquet.num_row_groups):
            rows = read_group(parquet, number, columns)
            judged = as_judged(rows, manifest, PAIRS.id) if manifest else rows
            yield from judged.filter(pc.equal(judged["status"], "accepted")).to_pylist()
    except DAMAGED as error:
        raise _broken(name, error) from error


def _open(file: BinaryIO | bytes | mmap.mmap, name: str) -> tuple[ParquetFile, list[str]]:
    """A Parquet file and the columns that are read of it. Raises BrokenFile, and DataError where one is missing."""
    try:
        parquet = ParquetFile(file)
        schema = parquet.schema_arrow
    except DAMAGED as error:
        raise _broken(name, error) from error
    table = SUBJECTS if set(SUBJECTS.images) <= set(schema.names) else PAIRS
    _check_columns(schema, table, name)
    return parquet, list(COLUMNS[table.row])


def _broken(name: str, error: Exception) -> BrokenFile:
    return BrokenFile(f"{name}: {unsound(error)}")


def _check_columns(schema: pa.Schema, table: Table, name: str) -> None:
    columns = COLUMNS[table.row]
    wrong = [column for column in columns if schema.get_field_index(column) < 0]
    wrong = wrong or [column for column in columns if schema.field(column).type != table.data.field(column).type]
    if wrong:
        raise DataError(f"{name}: columns missing or of another type than in a run: {', '.join(wrong)}")


def _subject(row: dict[str, Any], sample: str, max_pixels: int) -> Record:
    """sample: what errors call it. max_pixels: of its images."""
    image, depth = ((row[column] or {}).get("bytes") for column in ("image", "depth"))
    return Record(
        key=row["subject_id"],
        images={"subject": partial(_image, image, f"{sample} subject", max_pixels)},
        text=row["prompt"],
        depth=None if depth is None else partial(decode_depth, depth, f"{sample} depth", max_pixels),
        class_name=row["class_name"],
    )


def pair_record(row: dict[str, Any], sample: str, first: bool, max_pixels: int = MAX_PIXELS) -> Record:
    """A pair with its images, which are decoded when called. sample: what errors call it. first: of its subject.
    max_pixels: of an image."""
    data = {column: (row[column] or {}).get("bytes") for column in IMAGES}
    edited = row["kind"] == "edit"
    images = {
        "input": partial(_image, data["input_image"], f"{sample} input", max_pixels),
        "target": partial(_image, data["target_image"], f"{sample} target", max_pixels),
    }
    if edited:
        images["masked"] = partial(_masked, data["input_image"], data["mask"], sample, max_pixels)
    if first:
        images["subject"] = partial(_image, data["subject_image"], f"{sample} subject", max_pixels)
    return Record(
        key=row["pair_id"],
        images=images,
        text=row["prompt"],
        mask=partial(_mask, data["mask"], sample, max_pixels) if edited else None,
        depth=None if data["depth"] is None else partial(decode_depth, data["depth"], f"{sample} depth", max_pixels),
        class_name=row["class_name"],
        kind=row["kind"],
    )


def _image(data: bytes | None, name: str, max_pixels: int) -> np.ndarray:
    return decode(_present(data, name), name, max_pixels)


def _mask(data: bytes | None, sample: str, max_pixels: int) -> np.ndarray:
    return decode_mask(_present(data, f"{sample} mask"), f"{sample} mask", max_pixels)


def _masked(image: bytes | None, mask: bytes | None, sample: str, max_pixels: int) -> np.ndarray:
    rgb, inside = _image(image, f"{sample} input", max_pixels), _mask(mask, sample, max_pixels)
    if rgb.shape[:2] != inside.shape:
        raise ImageError(f"{sample}: the input is {rgb.shape[:2]}, its mask {inside.shape}; allowed is the same size")
    return black_out(rgb, inside)


def _present(data: bytes | None, name: str) -> bytes:
    if data is None:
        raise ImageError(f"{name}: there is none in its row")
    return data
