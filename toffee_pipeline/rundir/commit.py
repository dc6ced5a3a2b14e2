"""The commit of a shard: data first, then a manifest by one conditional put. No manifest, no shard.

Each attempt writes under keys of its own, so attempts never overwrite each other; the manifest names the files of the
one attempt that counts. Readers go by manifests only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, Self, TypeVar

from pydantic import AwareDatetime, Field, model_validator

from toffee_pipeline.errors import DamagedFile, StorageError
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import RunHeader
from toffee_pipeline.rundir.layout import (
    DATA_FOLDERS,
    MANIFEST,
    MANIFESTS,
    SHARD_FILE,
    manifest_key,
    shard_key,
)
from toffee_pipeline.rundir.run_file import Number, Part, RunFile, read
from toffee_pipeline.storage import Storage

READERS = 16


class DataFile(Part):
    """A Parquet file of a shard, as its manifest names it."""

    folder: str
    key: str
    size_bytes: Annotated[Number, Field(gt=0)]
    num_rows: Annotated[Number, Field(gt=0)]
    sha256: str

    @model_validator(mode="after")
    def _has_the_name_of_its_folder(self) -> Self:
        name = SHARD_FILE.fullmatch(self.key)
        if name is None or name[1] != self.folder:
            raise ValueError(f"{self.key!r} is no file of a shard in folder {self.folder!r}")
        return self


class Manifest(RunFile):
    """What commits a shard: the files of the one attempt that counts."""

    shard: Number
    attempt: str
    committed: AwareDatetime
    """By the writer's clock."""
    files: tuple[DataFile, ...]
    counts: ShardCounts

    @model_validator(mode="after")
    def _describes_its_shard(self) -> Self:
        if foreign := [file.key for file in self.files if shard_of(file.key) != self.shard]:
            raise ValueError(f"{foreign[0]!r} is no file of shard {self.shard}")
        return self


class BankedSubject(Part):
    """An accepted subject of a bank, as its row in `data` says it."""

    subject_id: str
    class_name: str
    prompt: str
    seed: Number


class BankManifest(Manifest):
    """Of a subject bank. Whoever reads it as a `Manifest` is spared the subjects, which are most of it."""

    subjects: tuple[BankedSubject, ...]
    """The rows of `data`, in their order, so that pairs are planned without opening it."""

    @model_validator(mode="after")
    def _names_every_row(self) -> Self:
        if sum(file.num_rows for file in self.files if file.folder == "data") != len(self.subjects):
            raise ValueError("it must name the subject of every row in data")
        return self


def shard_of(key: str) -> int | None:
    """The shard whose file this is, by its name; None of other files, which are the user's."""
    name = SHARD_FILE.fullmatch(key)
    return int(name[2]) if name else None


def commit_shard(
    storage: Storage,
    shard: int,
    files: Mapping[str, tuple[bytes, int]],
    counts: ShardCounts,
    subjects: Sequence[BankedSubject] | None = None,
) -> bool:
    """Write the files of `shard` and commit them.

    Args:
        files: for each folder of `DATA_FOLDERS` the bytes of one Parquet file and its number of rows. A file with 0
            rows is not written; a shard without any file still gets its manifest.
        subjects: of a subject bank alone: the rows in `data`.

    Returns:
        True when this call committed; False when another attempt had, and then this call's files are deleted.

    Raises:
        StorageError: bad input (before anything is written), or the store failed; then the shard may be committed or
            not, and what it left is removed by `delete_orphans`.
    """
    key, attempt = manifest_key(shard), secrets.token_hex(6)
    if unknown := set(files) - set(DATA_FOLDERS):
        raise StorageError(f"shard {shard}: folder {min(unknown)!r}: allowed are {', '.join(DATA_FOLDERS)}")
    if empty := [folder for folder, (data, num_rows) in files.items() if num_rows < 0 or (num_rows and not data)]:
        raise StorageError(f"shard {shard}: {empty[0]}: a file needs bytes and a number of rows of at least 0")
    written = {folder: files[folder] for folder in DATA_FOLDERS if folder in files and files[folder][1]}
    manifest = Manifest(
        shard=shard,
        attempt=attempt,
        committed=datetime.now(UTC),
        files=tuple(
            DataFile(
                folder=folder,
                key=shard_key(folder, shard, attempt),
                size_bytes=len(data),
                num_rows=num_rows,
                sha256=hashlib.sha256(data).hexdigest(),
            )
            for folder, (data, num_rows) in written.items()
        ),
        counts=counts,
    )
    if subjects is not None:
        manifest = BankManifest(**dict(manifest), subjects=tuple(subjects))
    for file in manifest.files:
        storage.put(file.key, written[file.folder][0])
    # A put that the client repeated after a lost answer finds its own manifest: then the attempt in it is ours.
    if storage.put_if_absent(key, manifest.encode()) or read_manifest(storage, shard).attempt == attempt:
        return True
    for file in manifest.files:
        storage.delete(file.key)
    return False


def committed_shards(storage: Storage) -> set[int]:
    """Numbers of all committed shards, by listing only."""
    names = (MANIFEST.fullmatch(key) for key, _ in storage.list(MANIFESTS))
    return {int(name[1]) for name in names if name}


M = TypeVar("M", bound=Manifest)


def read_manifest(storage: Storage, shard: int) -> Manifest:
    """The manifest of `shard`. Raises `MissingKey` when it is not committed, `DamagedFile` and `OtherVersion`."""
    return _read(storage, shard, Manifest)


def read_bank_manifest(storage: Storage, shard: int) -> BankManifest:
    """As `read_manifest`, with the subjects."""
    return _read(storage, shard, BankManifest)


def _read(storage: Storage, shard: int, kind: type[M]) -> M:
    key = manifest_key(shard)
    manifest = read(storage, key, kind)
    if manifest.shard != shard:
        raise DamagedFile(f"{storage.path_for(key)}: damaged: it is of shard {manifest.shard}")
    return manifest


def read_manifests(storage: Storage) -> Iterator[Manifest]:
    """Yield the manifest of every committed shard, by shard number; errors as in `read_manifest`."""
    shards = sorted(committed_shards(storage))
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(shards), 256):  # in blocks, so that a reader who stops early does not wait for all
            yield from pool.map(lambda shard: read_manifest(storage, shard), shards[start : start + 256])


def data_files(storage: Storage, folder: str = "data") -> list[str]:
    """Path or URI of every committed file of `folder`, by shard number."""
    if folder not in DATA_FOLDERS:
        raise StorageError(f"folder {folder!r}: allowed are {', '.join(DATA_FOLDERS)}")
    return [
        storage.path_for(file.key)
        for manifest in read_manifests(storage)
        for file in manifest.files
        if file.folder == folder
    ]


def shard_files(storage: Storage) -> list[str]:
    """Keys of all files that are named as a shard's, committed or not. Files with other names are the user's."""
    return [key for folder in DATA_FOLDERS for key, _ in storage.list(f"{folder}/") if SHARD_FILE.fullmatch(key)]


def delete_orphans(storage: Storage, run: RunHeader) -> list[str]:
    """Delete the shard files that no manifest names, and return their keys, sorted.

    Only while no run writes here: files of an attempt that has yet to commit look the same.

    Args:
        run: the directory's description, as it was read: only of a layout that this code knows it also knows where the
            manifests lie.
    """
    # Files before manifests: what commits in between is then known as committed.
    found = shard_files(storage)
    named = {file.key for manifest in read_manifests(storage) for file in manifest.files}
    orphans = sorted(set(found) - named)
    for key in orphans:
        storage.delete(key)
    storage.delete_temporary()
    return orphans
