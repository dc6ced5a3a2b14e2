"""A subject bank as a source of subjects: its accepted ones by number, in the order of its shards.

It is listed from its manifests alone: per shard the number of subjects and the SHA-256 of their file, which stays the
same where a damaged shard is computed again. Who they are stands in the manifests too, so that a broken file of images
costs its own pairs and no plan.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import (
    ConfigError,
    DamagedFile,
    ImageError,
    MissingKey,
    PlanError,
    RunMismatch,
    SampleError,
)
from toffee_pipeline.images import decode, decode_depth, decode_mask
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, read_group, unsound
from toffee_pipeline.plan.shards import MAX_SHARD_ROWS
from toffee_pipeline.plan.stored_list import read_list
from toffee_pipeline.rundir.description import read_bank
from toffee_pipeline.rundir.layout import DATA, manifest_key
from toffee_pipeline.rundir.manifests import BankManifest, Manifest, read_bank_manifest, read_manifests
from toffee_pipeline.rundir.rows import files_of
from toffee_pipeline.rundir.run_file import Number
from toffee_pipeline.schema.subjects import SUBJECTS, Subject
from toffee_pipeline.storage import Storage, open_storage

MANIFESTS_KEPT = 16
DECODE = {"image": decode, "mask": decode_mask, "depth": decode_depth}


class BankShard(NamedTuple):
    """A shard with accepted subjects. sha256: of their file in `data`."""

    shard: Number
    num_subjects: Annotated[Number, Field(gt=0, le=MAX_SHARD_ROWS)]
    sha256: str


class BankedImages(NamedTuple):
    """Of one subject, as PNG bytes: uint8 RGB, the mask, inverse depth of 16 bit, all of the bank's size."""

    image: bytes
    mask: bytes
    depth: bytes


class Bank:
    """A `ListedSource`; again from the first subject after the last.

    Args:
        storage: of the bank.
        shards: as `open_bank`, or an earlier start, listed them.
        size_px: of its images.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, storage: Storage, shards: Sequence[BankShard], size_px: int) -> None:
        self._storage, self._shards, self._size_px = storage, shards, size_px
        self._ends = np.cumsum([shard.num_subjects for shard in shards], dtype=np.int64)
        self._manifest = lru_cache(MANIFESTS_KEPT)(self._read_manifest)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def digest(self) -> str:
        return hashlib.sha256(_to_lines(self._shards)).hexdigest()

    def to_bytes(self) -> bytes:
        return gzip.compress(_to_lines(self._shards), mtime=0)

    def change(self, listed: bytes, name: str) -> str | None:
        before, now = ({shard.shard: shard for shard in shards} for shards in (shards_from(listed, name), self._shards))
        for number in sorted(before.keys() | now.keys()):
            if before.get(number) != now.get(number):
                what = "is gone" if number not in now else "has changed" if number in before else "is new"
                return f"{self._storage.uri}: shard {number} {what}"
        return None

    def subject(self, subject_id: str, number: int, seed: int) -> Subject:
        """Raises RunMismatch where the shard is not as it was listed, DamagedFile where it is none of a bank."""
        index, row = self._place(number)
        banked = self._manifest(index).subjects[row]
        return Subject(
            subject_id, banked.class_name, banked.prompt, banked.seed, banked.source_path or banked.subject_id
        )

    def images(self, numbers: Iterable[int]) -> list[BankedImages | SampleError]:
        """Of the subjects with these numbers; a row that cannot be read has a SampleError in its place. Fetches these
        rows only.

        Raises RunMismatch and DamagedFile as `subject`, OSError where the store fails.
        """
        places = map(self._place, numbers)
        return [
            found
            for index, group in groupby(places, key=lambda place: place[0])
            for found in self._rows(index, [row for _, row in group])
        ]

    def _place(self, number: int) -> tuple[int, int]:
        """Index of the shard, and the row in it."""
        number %= len(self)
        index = int(np.searchsorted(self._ends, number, "right"))
        return index, number - int(self._ends[index]) + self._shards[index].num_subjects

    def _read_manifest(self, index: int) -> BankManifest:
        listed = self._shards[index]
        try:
            manifest = read_bank_manifest(self._storage, listed.shard)
        except MissingKey as error:
            raise RunMismatch(f"subjects.path: {self._storage.uri}: shard {listed.shard} is gone") from error
        if _listed(self._storage, manifest) != listed:
            raise RunMismatch(f"subjects.path: {self._storage.uri}: shard {listed.shard} has changed")
        return manifest

    def _rows(self, index: int, rows: Sequence[int]) -> list[BankedImages | SampleError]:
        """Some rows of one shard, whose file is opened once."""
        manifest = self._manifest(index)
        (file,) = files_of(manifest, DATA)  # what `_listed` found
        name = self._storage.path_for(file.key)
        try:
            with self._storage.open(file.key) as opened:
                parquet = ParquetFile(opened)
                if not parquet.schema_arrow.equals(SUBJECTS.data) or parquet.num_row_groups != file.num_rows:
                    raise pa.ArrowInvalid("its columns or rows are not those of a bank")
                return [self._row(parquet, row, f"{name}: {manifest.subjects[row].subject_id}") for row in rows]
        except MissingKey:
            return [SampleError(f"{name}: not there any more") for _ in rows]
        except DAMAGED as error:
            return [_unsound(error, name) for _ in rows]

    def _row(self, parquet: ParquetFile, row: int, name: str) -> BankedImages | SampleError:
        try:
            (found,) = read_group(parquet, row, list(DECODE)).to_pylist()
        except DAMAGED as error:
            return _unsound(error, name)
        return self._checked(found, name)

    def _checked(self, found: dict[str, dict[str, bytes] | None], name: str) -> BankedImages | SampleError:
        images = {}
        for column, decode_column in DECODE.items():
            data = (found[column] or {}).get("bytes")
            if data is None:
                return SampleError(f"{name}: no {column}")
            try:
                height, width = decode_column(data, f"{name} {column}", self._size_px**2).shape[:2]
            except ImageError as error:
                return SampleError(str(error))
            if (height, width) != (self._size_px, self._size_px):
                return SampleError(f"{name} {column}: {width} x {height} px, the bank's are {self._size_px}")
            images[column] = data
        return BankedImages(**images)


def open_bank(config: RunConfig) -> Bank:
    """The bank that the config names, as it is now. One under way may be read: what it has committed counts.

    Raises:
        ConfigError: its images have another size.
        PlanError: it holds no subject.
        NoRun, OtherVersion, DamagedFile, OSError: as `read_bank` and `read_manifests`.
    """
    storage = _storage_of(config)
    run = read_bank(storage)
    if run.config.size_px != config.size_px:
        raise ConfigError(
            f"subjects.path: the images of {storage.uri} have size_px={run.config.size_px}, not {config.size_px}"
        )
    shards = [listed for manifest in read_manifests(storage) if (listed := _listed(storage, manifest))]
    if not shards:
        raise PlanError(f"subjects.path: {storage.uri}: no committed shard of this bank has an accepted subject")
    return Bank(storage, shards, config.size_px)


def stored_bank(config: RunConfig, data: bytes, name: str) -> Bank:
    """As an earlier start listed it. Raises PlanError where the list is damaged."""
    return Bank(_storage_of(config), shards_from(data, name), config.size_px)


def shards_from(data: bytes, name: str) -> list[BankShard]:
    """What `Bank.to_bytes` made. name: what errors call the file. Raises PlanError where it is damaged."""
    return read_list(data, name, TypeAdapter(BankShard))


def _unsound(error: Exception, name: str) -> SampleError:
    """Raises the error again where it is the store's."""
    if is_of_store(error):
        raise error
    return SampleError(f"{name}: {unsound(error)}")


def _storage_of(config: RunConfig) -> Storage:
    assert config.subjects.path is not None  # the config's own validator
    return open_storage(config.subjects.path, config.subjects.endpoint_url)


def _to_lines(shards: Iterable[BankShard]) -> bytes:
    return "".join(f"{json.dumps(shard)}\n" for shard in shards).encode()


def _listed(storage: Storage, manifest: Manifest) -> BankShard | None:
    """None of a shard without accepted subjects. Raises DamagedFile where they lie in several files."""
    files = files_of(manifest, DATA)
    if len(files) > 1:
        name = storage.path_for(manifest_key(manifest.shard))
        raise DamagedFile(f"{name}: damaged: it names {len(files)} files in {DATA}, and a shard of a bank has one")
    return BankShard(manifest.shard, files[0].num_rows, files[0].sha256) if files else None
