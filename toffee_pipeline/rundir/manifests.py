"""Manifests: what commits a shard names its files and counts. Readers go by them only."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from threading import Lock
from typing import Annotated, Self, TypeVar, cast

from pydantic import AwareDatetime, Field, model_validator

from toffee_pipeline.errors import DamagedFile, MissingKey, StorageError
from toffee_pipeline.filters import REASONS
from toffee_pipeline.plan.shards import MAX_SHARD_ROWS
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.layout import (
    DATA,
    FOLDERS,
    MANIFEST,
    MANIFESTS,
    PACK,
    PACK_SHARDS,
    SHARD_FILE,
    manifest_key,
)
from toffee_pipeline.rundir.run_file import Number, Part, RunFile, decode, read
from toffee_pipeline.storage import Storage

READERS = 16
MANIFESTS_AHEAD = 2 * READERS
"""Whoever goes through all has no more of them in memory, and does not wait for more where it stops early."""
MAX_MANIFEST_BYTES, MAX_PACK_BYTES = 16 * 2**20, 256 * 2**20
READ_AHEAD_BYTES = 4 * 2**20


class DataFile(Part):
    """A Parquet file of a shard, as its manifest names it."""

    folder: str
    key: str
    size_bytes: Annotated[Number, Field(gt=0)]
    num_rows: Annotated[Number, Field(gt=0, le=MAX_SHARD_ROWS)]
    sha256: str

    @model_validator(mode="after")
    def _has_the_name_of_its_folder(self) -> Self:
        name = SHARD_FILE.fullmatch(self.key)
        if name is None or name[1] != self.folder:
            raise ValueError(f"{self.key!r} is no file of a shard in folder {self.folder!r}")
        return self


class ViewOf(Part):
    """What a shard of a view is a view of. It has no files of its own."""

    run: str
    """URI of the run directory in which its files lie."""
    verdicts: dict[str, str | None]
    """By id the rows that are judged otherwise than their files say: the reason, or None where they are accepted."""

    @model_validator(mode="after")
    def _gives_reasons_that_there_are(self) -> Self:
        if unknown := {*self.verdicts.values()} - {None, *REASONS}:
            raise ValueError(f"unknown reason {min(map(str, unknown))!r}")
        return self


class Manifest(RunFile):
    """What commits a shard: the files of the one attempt that counts."""

    shard: Number
    attempt: str
    committed: AwareDatetime
    """By the writer's clock."""
    files: tuple[DataFile, ...]
    counts: ShardCounts
    view: ViewOf | None = None

    @model_validator(mode="after")
    def _describes_its_shard(self) -> Self:
        if foreign := [file.key for file in self.files if shard_of(file.key) != self.shard]:
            raise ValueError(f"{foreign[0]!r} is no file of shard {self.shard}")
        return self


class BankedSubject(Part):
    """An accepted subject of a bank, as its row in `data` says it. source_path: of a bank made of a folder."""

    subject_id: str
    class_name: str
    prompt: str
    seed: Number
    source_path: str | None


class BankManifest(Manifest):
    """Of a subject bank. Whoever reads it as a `Manifest` is spared the subjects, which are most of it."""

    subjects: tuple[BankedSubject, ...]
    """The rows of `data`, in their order, so that pairs are planned without opening it."""

    @model_validator(mode="after")
    def _names_every_row(self) -> Self:
        if sum(file.num_rows for file in self.files if file.folder == DATA) != len(self.subjects):
            raise ValueError("it must name the subject of every row in data")
        return self


def shard_of(key: str) -> int | None:
    """The shard whose file this is, by its name; None of other files, which are the user's."""
    name = SHARD_FILE.fullmatch(key)
    return int(name[3]) if name else None


def committed_shards(storage: Storage) -> set[int]:
    """Numbers of all committed shards, by listing only."""
    shards: set[int] = set()
    for key, _ in storage.list(MANIFESTS):
        if name := MANIFEST.fullmatch(key):
            shards.add(int(name[1]))
        elif pack := PACK.fullmatch(key):
            first = int(pack[1]) * PACK_SHARDS
            shards.update(range(first, first + min(int(pack[2]), PACK_SHARDS)))
    return shards


M = TypeVar("M", bound=Manifest)


def read_manifest(storage: Storage, shard: int) -> Manifest:
    """The manifest of `shard`. Raises `MissingKey` when it is not committed, `DamagedFile` and `OtherVersion`."""
    return _read(storage, shard, Manifest)


def read_bank_manifest(storage: Storage, shard: int) -> BankManifest:
    """As `read_manifest`, with the subjects."""
    return _read(storage, shard, BankManifest)


def _read(storage: Storage, shard: int, kind: type[M]) -> M:
    key = manifest_key(shard)
    try:
        manifest = read(storage, key, kind, MAX_MANIFEST_BYTES)
    except MissingKey:
        number, line = divmod(shard, PACK_SHARDS)
        with _ONE_AT_A_TIME:
            key, lines = _pack(storage, number)
        if line >= len(lines):
            raise
        manifest = decode(kind, lines[line], f"{storage.path_for(key)}, line {line + 1}")
    if manifest.shard != shard:
        raise DamagedFile(f"{storage.path_for(key)}: damaged: it is of shard {manifest.shard}")
    return manifest


_ONE_AT_A_TIME = Lock()
"""Of several readers that want one pack, one reads it."""


@lru_cache(maxsize=2)
def _pack(storage: Storage, number: int) -> tuple[str, list[bytes]]:
    """The pack of this number, by its key; no lines where there is none. Never written again under one `Storage`."""
    for key, _ in storage.list(f"{MANIFESTS}pack-{number:06d}-"):
        lines, left = [], MAX_PACK_BYTES
        for line in _lines(storage, key):
            lines.append(line)
            left -= len(line)
            if left < 0:
                raise DamagedFile(f"{storage.path_for(key)}: damaged: more than {MAX_PACK_BYTES} bytes")
        return key, lines
    return "", []


def manifests_of(storage: Storage, key: str) -> Iterator[Manifest]:
    """Of a file with a line for each, one in memory at a time. Raises MissingKey, DamagedFile."""
    for number, line in enumerate(_lines(storage, key), 1):
        yield decode(Manifest, line, f"{storage.path_for(key)}, line {number}")


def _lines(storage: Storage, key: str) -> Iterator[bytes]:
    with io.BufferedReader(cast(io.RawIOBase, storage.open(key)), READ_AHEAD_BYTES) as file:
        while line := file.readline(MAX_MANIFEST_BYTES + 1):
            if len(line) > MAX_MANIFEST_BYTES:
                raise DamagedFile(f"{storage.path_for(key)}: damaged: a line of more than {MAX_MANIFEST_BYTES} bytes")
            yield line


def read_manifests(storage: Storage) -> Iterator[Manifest]:
    """Yield the manifest of every committed shard, by shard number; errors as in `read_manifest`."""
    ahead: deque[Future[Manifest]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for shard in sorted(committed_shards(storage)):
            ahead.append(pool.submit(read_manifest, storage, shard))
            if len(ahead) == MANIFESTS_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def data_files(storage: Storage, folder: str = DATA) -> list[str]:
    """Path or URI of every committed file of `folder`, by shard number."""
    if folder not in FOLDERS:
        raise StorageError(f"folder {folder!r}: allowed are {', '.join(FOLDERS)}")
    return [
        storage.path_for(file.key)
        for manifest in read_manifests(storage)
        for file in manifest.files
        if file.folder == folder
    ]
