"""The commit of a shard: data first, then a manifest by one conditional put. No manifest, no shard.

Each attempt writes under keys of its own, so attempts never overwrite each other; the manifest names the files of the
one attempt that counts. Readers go by manifests only.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from toffee_pipeline.errors import DamagedFile, StorageError
from toffee_pipeline.storage import Storage

MANIFEST_VERSION = 1
FOLDERS = ("data", "rejected", "ledger")
READERS = 16
SHARD_FILE = re.compile(r"(data|rejected|ledger)/shard-(\d{6,})-[0-9a-f]+\.parquet")


def commit_shard(storage: Storage, shard: int, files: Mapping[str, tuple[bytes, int]], info: Mapping[str, Any]) -> bool:
    """Write the files of `shard` and commit them.

    Args:
        files: for each folder of `FOLDERS` the bytes of one Parquet file and its number of rows. A file with 0 rows
            is not written; a shard without any file still gets its manifest.
        info: JSON values (counts, seconds per stage), kept in the manifest.

    Returns:
        True when this call committed; False when another attempt had, and then this call's files are deleted.

    Raises:
        StorageError: bad input (before anything is written), or the store failed; then the shard may be committed or
            not, and what it left is removed by `delete_orphans`.
    """
    key, attempt = manifest_key(shard), secrets.token_hex(6)
    if unknown := set(files) - set(FOLDERS):
        raise StorageError(f"shard {shard}: folder {min(unknown)!r}: allowed are {', '.join(FOLDERS)}")
    if empty := [folder for folder, (data, num_rows) in files.items() if num_rows < 0 or (num_rows and not data)]:
        raise StorageError(f"shard {shard}: {empty[0]}: a file needs bytes and a number of rows of at least 0")
    written = {
        f"{folder}/shard-{shard:06d}-{attempt}.parquet": files[folder]
        for folder in FOLDERS
        if folder in files and files[folder][1]
    }
    entries = [
        {
            "folder": file.partition("/")[0],
            "key": file,
            "size_bytes": len(data),
            "num_rows": num_rows,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for file, (data, num_rows) in written.items()
    ]
    manifest = {
        "version": MANIFEST_VERSION,
        "shard": shard,
        "attempt": attempt,
        "committed": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "files": entries,
        "info": dict(info),
    }
    try:
        text = json.dumps(manifest, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"shard {shard}: info is not JSON: {error}") from error

    for file, (data, _) in written.items():
        storage.put(file, data)
    # A put that the client repeated after a lost answer finds its own manifest: then the attempt in it is ours.
    if storage.put_if_absent(key, text.encode()) or read_manifest(storage, shard)["attempt"] == attempt:
        return True
    for file in written:
        storage.delete(file)
    return False


def manifest_key(shard: int) -> str:
    """The key whose existence commits `shard` (an int of at least 0)."""
    if not isinstance(shard, int) or isinstance(shard, bool) or shard < 0:
        raise StorageError(f"shard {shard!r}: allowed is an integer of at least 0")
    return f"_manifests/shard-{shard:06d}.json"


def committed_shards(storage: Storage) -> set[int]:
    """Numbers of all committed shards, by listing only."""
    names = (re.fullmatch(r"_manifests/shard-(\d{6,})\.json", key) for key, _ in storage.list("_manifests/"))
    return {int(name[1]) for name in names if name}


def read_manifest(storage: Storage, shard: int) -> dict[str, Any]:
    """The manifest of `shard`: version, shard, attempt, committed (the writer's clock, ISO 8601; older ones lack it),
    files [{folder, key, size_bytes, num_rows, sha256}], info.

    Raises `MissingKey` when the shard is not committed, `DamagedFile`, and `StorageError` for another version.
    """
    key = manifest_key(shard)
    text = storage.get(key)
    try:
        manifest: dict[str, Any] = json.loads(text)
        version = manifest["version"]
        sound = (
            version == MANIFEST_VERSION
            and manifest["shard"] == shard
            and isinstance(manifest["attempt"], str)
            and isinstance(manifest["info"], dict)
            and all(_is_file_of(shard, entry) for entry in manifest["files"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{storage.path_for(key)}: damaged manifest: {error!r}") from error
    if version != MANIFEST_VERSION:
        raise StorageError(f"{storage.path_for(key)}: manifest version {version!r}, this code reads {MANIFEST_VERSION}")
    if not sound:
        raise DamagedFile(f"{storage.path_for(key)}: damaged manifest: it does not describe files of shard {shard}")
    return manifest


def _is_file_of(shard: int, entry: Mapping[str, Any]) -> bool:
    name = SHARD_FILE.fullmatch(entry["key"])
    numbers = (entry["size_bytes"], entry["num_rows"])
    return (
        name is not None
        and (name[1], int(name[2])) == (entry["folder"], shard)
        and all(isinstance(number, int) and number > 0 for number in numbers)
        and isinstance(entry["sha256"], str)
    )


def read_manifests(storage: Storage) -> Iterator[dict[str, Any]]:
    """Yield the manifest of every committed shard, by shard number; errors as in `read_manifest`."""
    shards = sorted(committed_shards(storage))
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(shards), 256):  # in blocks, so that a reader who stops early does not wait for all
            yield from pool.map(lambda shard: read_manifest(storage, shard), shards[start : start + 256])


def data_files(storage: Storage, folder: str = "data") -> list[str]:
    """Path or URI of every committed file of `folder`, by shard number."""
    if folder not in FOLDERS:
        raise StorageError(f"folder {folder!r}: allowed are {', '.join(FOLDERS)}")
    return [
        storage.path_for(entry["key"])
        for manifest in read_manifests(storage)
        for entry in manifest["files"]
        if entry["folder"] == folder
    ]


def shard_files(storage: Storage) -> list[str]:
    """Keys of all files that are named as a shard's, committed or not. Files with other names are the user's."""
    return [key for folder in FOLDERS for key, _ in storage.list(f"{folder}/") if SHARD_FILE.fullmatch(key)]


def delete_orphans(storage: Storage) -> list[str]:
    """Delete the shard files that no manifest names, and return their keys, sorted.

    Only while no run writes here: files of an attempt that has yet to commit look the same.
    """
    # Files before manifests: what commits in between is then known as committed.
    found = shard_files(storage)
    named = {entry["key"] for manifest in read_manifests(storage) for entry in manifest["files"]}
    orphans = sorted(set(found) - named)
    for key in orphans:
        storage.delete(key)
    storage.delete_temporary()
    return orphans
