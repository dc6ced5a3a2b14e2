"""The commit of a shard: data first, then a manifest. No manifest, no shard.

Each attempt writes under keys of its own, out of every reader's sight. One conditional put decides which attempt
counts; its files then move to where readers look, and last its manifest is written, which names them. Whoever finds a
decision without a manifest finishes what it began, so that a writer may die at any point.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from toffee_pipeline.errors import MissingKey, StorageError
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import RunHeader
from toffee_pipeline.rundir.layout import (
    FOLDERS,
    SHARD_FILE,
    TRIES,
    decision_key,
    manifest_key,
    shard_key,
    try_key,
)
from toffee_pipeline.rundir.manifests import (
    MAX_MANIFEST_BYTES,
    BankedSubject,
    BankManifest,
    DataFile,
    Manifest,
    read_manifest,
    read_manifests,
)
from toffee_pipeline.rundir.run_file import decode
from toffee_pipeline.storage import Storage

DECISION = re.compile(TRIES + r"shard-(\d{6,})\.json")


class ShardFile(NamedTuple):
    """A Parquet file to commit.

    folder: one of `FOLDERS`. rows: what its rows are, in a word of small letters. data: its bytes, or a local file,
    which is never whole in memory.
    """

    folder: str
    rows: str
    data: bytes | Path
    num_rows: int

    @property
    def size_bytes(self) -> int:
        return self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)

    def sha256(self) -> str:
        if not isinstance(self.data, Path):
            return hashlib.sha256(self.data).hexdigest()
        with self.data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def put(self, storage: Storage, key: str) -> None:
        if isinstance(self.data, Path):
            storage.put_file(key, self.data)
        else:
            storage.put(key, self.data)


def commit_shard(
    storage: Storage,
    shard: int,
    files: Sequence[ShardFile],
    counts: ShardCounts,
    subjects: Sequence[BankedSubject] | None = None,
) -> bool:
    """Write the files of `shard` and commit them.

    Args:
        files: those with 0 rows are not written; a shard without any file still gets its manifest.
        subjects: of a subject bank alone: the rows in `data`.

    Returns:
        True when this call's files are committed; False when another attempt's are, and then this call's are deleted.

    Raises:
        StorageError: bad input (before anything is written), or the store failed; then the shard may be committed or
            not: `settle` finishes what was decided, and `delete_orphans` removes the rest.
    """
    attempt = secrets.token_hex(6)
    manifest_key(shard)
    for file in files:
        if file.folder not in FOLDERS:
            raise StorageError(f"shard {shard}: folder {file.folder!r}: allowed are {', '.join(FOLDERS)}")
        if file.num_rows < 0 or (file.num_rows and not file.size_bytes):
            raise StorageError(f"shard {shard}: {file.folder}: a file needs bytes and a number of rows of at least 0")
    written = {shard_key(file.folder, file.rows, shard, attempt): file for file in files if file.num_rows}
    manifest = Manifest(
        shard=shard,
        attempt=attempt,
        committed=datetime.now(UTC),
        files=tuple(
            DataFile(
                folder=file.folder,
                key=key,
                size_bytes=file.size_bytes,
                num_rows=file.num_rows,
                sha256=file.sha256(),
            )
            for key, file in written.items()
        ),
        counts=counts,
    )
    if subjects is not None:
        manifest = BankManifest(**dict(manifest), subjects=tuple(subjects))
    encoded = manifest.encode()
    if len(encoded) > MAX_MANIFEST_BYTES:
        raise StorageError(
            f"shard {shard}: a manifest of {len(encoded)} bytes; allowed are {MAX_MANIFEST_BYTES}: lower "
            "subjects_per_shard"
        )
    for key, file in written.items():
        file.put(storage, try_key(key))
    storage.put_if_absent(decision_key(shard), encoded)
    settle(storage, shard)
    if read_manifest(storage, shard).attempt == attempt:
        return True
    for key in written:
        storage.delete(try_key(key))
    return False


def settle(storage: Storage, shard: int) -> None:
    """Finish the commit of `shard` that a decision began; nothing where there is none. Any number may do so at once.

    A decision that finds a manifest came too late: it is deleted only after its manifest was written, so whoever could
    decide anew sees that manifest.
    """
    key = decision_key(shard)
    try:
        encoded = storage.get(key, MAX_MANIFEST_BYTES)
    except MissingKey:
        return
    if not storage.exists(manifest_key(shard)):
        for file in decode(Manifest, encoded, storage.path_for(key)).files:
            try:
                storage.move(try_key(file.key), file.key)
            except MissingKey:
                if not storage.exists(file.key):  # else another one moved it
                    raise
        storage.put_if_absent(manifest_key(shard), encoded)
    storage.delete(key)


def settle_all(storage: Storage) -> None:
    """`settle` every shard with a decision: what a driver does first, so that nothing decided is computed again."""
    for shard in [int(name[1]) for key, _ in storage.list(TRIES) if (name := DECISION.fullmatch(key))]:
        settle(storage, shard)


def shard_files(storage: Storage) -> list[str]:
    """Keys of all files that are named as a shard's, committed or not. Files with other names are the user's."""
    return [key for folder in FOLDERS for key, _ in storage.list(f"{folder}/") if SHARD_FILE.fullmatch(key)] + [
        key for key, _ in storage.list(TRIES)
    ]


class Orphans:
    """The files of tries that did not commit. First what was decided is finished.

    Made before all manifests are read, so that what commits in between is known as committed, and only while no run
    writes here: files of an attempt that has yet to commit look the same.

    Args:
        run: the directory's description, as it was read: only of a layout that this code knows it also knows where the
            manifests lie.
    """

    def __init__(self, storage: Storage, run: RunHeader) -> None:
        settle_all(storage)
        self._storage, self._left = storage, set(shard_files(storage))

    def keep(self, manifest: Manifest) -> None:
        """To be called with each manifest: its files are none."""
        self._left.difference_update(file.key for file in manifest.files)

    def delete(self) -> list[str]:
        """Their keys, sorted."""
        for key in self._left:
            self._storage.delete(key)
        self._storage.delete_temporary()
        return sorted(self._left)


def delete_orphans(storage: Storage, run: RunHeader) -> list[str]:
    """As `Orphans`, for who reads no manifests of its own."""
    orphans = Orphans(storage, run)
    for manifest in read_manifests(storage):
        orphans.keep(manifest)
    return orphans.delete()
