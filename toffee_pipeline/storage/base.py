"""What a run directory is: keys, errors and the interface that local disk and S3 share."""

from __future__ import annotations

import mmap
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from toffee_pipeline.errors import StorageError
from toffee_pipeline.plain_file import mapped

TEMPORARY = ".tmp-"
MAX_BYTES, MAX_MAPPED_BYTES = 256 * 2**20, 4 * 2**30
"""Of what is read as a whole, and of a run's Parquet file, which is mapped: none that the project writes is near it."""


def check_key(key: str) -> str:
    """Return `key` if it is a relative path of plain segments, else raise `StorageError`."""
    if not is_key(key):
        raise StorageError(
            f"key {key!r}: allowed is a relative path with '/', without '..', empty or '{TEMPORARY}*' parts, "
            "backslashes or control characters"
        )
    return key


def is_key(key: str) -> bool:
    """Whether `key` is a relative path of plain segments."""
    if not isinstance(key, str) or not key.isprintable() or "\\" in key:
        return False
    return all(part not in ("", ".", "..") and not part.startswith(TEMPORARY) for part in key.split("/"))


class Storage(ABC):
    """A run directory. Picklable, and safe to share between threads; each process opens connections of its own.

    Every method raises `StorageError` for a bad key. Failures of the store raise `StorageError` (S3) or the operating
    system's `OSError` (local); `except OSError` catches both.
    """

    uri: str
    endpoint_url: str | None
    """As `open_storage` got it: what lies here may name other places, which are looked for there too."""

    @property
    def num_retries(self) -> int:
        """Requests of this process that the store failed or refused, and that were repeated."""
        return 0

    def check(self, key: str, swaps: bool) -> None:  # noqa: B027 (local disk raises where it cannot)
        """Raises StorageError where the store ignores or refuses what exactly once, and with `swaps` the lease, rest
        on. key: free, and free again afterwards."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write or replace `key`: atomic (readers see old or new) and durable on return. Any size; in parts on S3."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write `key` unless it exists; of many writers exactly one writes. Durable on return.

        False means that the key exists. After a retry inside the S3 client it may be this very call that wrote it, so a
        caller that must know puts something unique into `data` and reads it back (see `commit_shard`).
        """

    @abstractmethod
    def compare_and_swap(self, key: str, old: bytes, new: bytes) -> bool:
        """Replace `old` by `new` under `key`; of many writers that saw the same `old` exactly one does. Durable.

        False means that something else lies there, or nothing; after a lost answer, as in `put_if_absent`, it may be
        this call's own `new`.
        """

    @abstractmethod
    def get(self, key: str, max_bytes: int = MAX_BYTES) -> bytes:
        """The bytes under `key`. Raises `MissingKey`, and `DamagedFile` where there are more, or it is no file."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """The file under `key`, to be read in parts: only these are fetched. Raises as `get`."""

    @abstractmethod
    def put_file(self, key: str, path: Path) -> None:
        """As `put`, of the local file at `path`: of any size, never whole in memory."""

    @abstractmethod
    def get_file(self, key: str, path: Path, max_bytes: int | None) -> None:
        """Write what lies under `key` to the local file at `path`, streamed; its folder is made.

        The file appears under its name when it is complete. max_bytes: None: of any size, which is for the user's own
        files. Raises as `get`.
        """

    @abstractmethod
    def map(self, key: str, max_bytes: int | None = None) -> bytes | mmap.mmap:
        """The bytes under `key`, of any size by default, as `mapped`: on S3 of a copy on this machine's disk, if they
        are many. Raises as `get`."""

    def _mapped_copy(self, key: str, max_bytes: int | None) -> bytes | mmap.mmap:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "copy")
            self.get_file(key, path, max_bytes)
            with path.open("rb") as file:
                return mapped(file)

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether `key` is there."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove `key`; no error when it is not there."""

    @abstractmethod
    def move(self, old: str, new: str) -> None:
        """Move what lies under `old` to `new`, or replace it; on S3 a copy by the store, then a deletion. Any size.

        Readers see nothing or all under `new`; durable on return. Raises `MissingKey` when there is nothing to move.
        """

    @abstractmethod
    def path_for(self, key: str) -> str:
        """Local path or ``s3://`` URI of `key`, for pyarrow or datasets (which must be told of an own endpoint)."""

    def temporary(self) -> list[str]:
        """Names of what killed writers left half written. On S3 none: a bucket's lifecycle rule ends their uploads."""
        return []

    def delete_temporary(self) -> None:  # noqa: B027 (nothing to do on S3)
        """Remove what `temporary` names. Only while nobody writes."""

    @abstractmethod
    def _list(self, prefix: str) -> Iterator[tuple[str, int]]: ...

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield (key, size_bytes) of each key that starts with `prefix`, sorted by key ("" lists all).

        Foreign objects whose names are no keys (folder markers, temporary files) are left out.
        """
        if prefix:
            check_key(prefix.removesuffix("/"))
        return ((key, size_bytes) for key, size_bytes in self._list(prefix) if is_key(key))
