"""The run directory as a folder of a local or mounted file system."""

from __future__ import annotations

import fcntl
import io
import mmap
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toffee_pipeline.errors import MissingKey, StorageError
from toffee_pipeline.plain_file import check_size, mapped, open_plain
from toffee_pipeline.storage.base import MAX_BYTES, TEMPORARY, Storage, check_key


class LocalStorage(Storage):
    """A folder. The file system must know hard links (FAT does not) and, for `compare_and_swap`, flock.

    follow_links: whether links that leave the folder are followed. False, for what may have been handed over: whoever
    uses such a link gets a `StorageError`. The folder itself may be a link.
    """

    def __init__(self, path: str, endpoint_url: str | None = None, follow_links: bool = False) -> None:
        self._root = Path(os.path.abspath(os.path.expanduser(path)))
        self._follow_links = follow_links
        self.uri, self.endpoint_url = str(self._root), endpoint_url

    def __repr__(self) -> str:
        return f"LocalStorage({self.uri!r})"

    def _path(self, key: str) -> Path:
        path = self._root
        for part in check_key(key).split("/"):
            path /= part
            if path.is_symlink():
                self._check_link(path)
        return path

    def _check_link(self, path: Path) -> None:
        root, target = Path(os.path.realpath(self._root)), Path(os.path.realpath(path))
        # in the Hugging Face hub's cache the files of a snapshot are links to blobs beside it
        blobs = [root.parents[1] / "blobs"] if root.parent.name == "snapshots" else []
        if not self._follow_links and not any(map(target.is_relative_to, (root, *blobs))):
            raise StorageError(f"{path}: a link that leaves {self._root}: nothing is read, written or deleted by it")

    def path_for(self, key: str) -> str:
        return str(self._path(key))

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with _temporary_file(path.parent, io.BytesIO(data)) as temporary:
            os.replace(temporary, path)
        _sync_directory(path.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with _temporary_file(path.parent, io.BytesIO(data)) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        _sync_directory(path.parent)
        return True

    def compare_and_swap(self, key: str, old: bytes, new: bytes) -> bool:
        # A rename cannot be conditional, so those who would replace one file take turns at its lock, and who comes
        # later finds another file under the name. The kernel frees the lock of a killed process. NFS wants "r+".
        path = self._path(key)
        try:
            with open_plain(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()) or file.read() != old:
                    return False
                self.put(key, new)
        except FileNotFoundError:
            return False
        return True

    def get(self, key: str, max_bytes: int = MAX_BYTES) -> bytes:
        with self.open(key) as file:
            check_size(os.fstat(file.fileno()).st_size, max_bytes, self.path_for(key))
            return file.read()

    def open(self, key: str) -> BinaryIO:
        path = self._path(key)
        try:
            return open_plain(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise MissingKey(f"{path}: no such key") from error

    def map(self, key: str, max_bytes: int | None = None) -> bytes | mmap.mmap:
        with self.open(key) as file:
            if max_bytes is not None:
                check_size(os.fstat(file.fileno()).st_size, max_bytes, self.path_for(key))
            return mapped(file)

    def put_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        with open(path, "rb") as source, _temporary_file(target.parent, source) as temporary:
            os.replace(temporary, target)
        _sync_directory(target.parent)

    def get_file(self, key: str, path: Path, max_bytes: int | None) -> None:
        with self.open(key) as source:
            if max_bytes is not None:
                check_size(os.fstat(source.fileno()).st_size, max_bytes, self.path_for(key))
            with _temporary_file(path.parent, source) as temporary:
                os.replace(temporary, path)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def move(self, old: str, new: str) -> None:
        source, target = self._path(old), self._path(new)
        _make_directory(target.parent)
        try:
            os.replace(source, target)
        except FileNotFoundError as error:
            raise MissingKey(f"{source}: no such key") from error
        _sync_directory(target.parent)
        _sync_directory(source.parent)

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        folder = prefix.rpartition("/")[0]
        return self._walk(self._path(folder) if folder else self._root, f"{folder}/" if folder else "", prefix)

    def _walk(self, folder: Path, base: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys below `folder` in string order, one folder's names in memory at a time: a folder sorts as `name/`."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            key = base + entry.name
            if entry.is_dir(follow_symlinks=False):
                if f"{key}/".startswith(prefix):
                    yield from self._walk(folder / entry.name, f"{key}/", prefix)
            elif key.startswith(prefix) and entry.is_file():
                if entry.is_symlink():
                    self._check_link(folder / entry.name)
                try:
                    yield key, entry.stat().st_size
                except FileNotFoundError:  # deleted since: as if listed a moment later
                    continue

    def temporary(self) -> list[str]:
        found = self._root.rglob(f"{TEMPORARY}*")  # a folder of such a name is the user's
        return sorted(path.relative_to(self._root).as_posix() for path in found if path.is_symlink() or path.is_file())

    def delete_temporary(self) -> None:
        for name in self.temporary():
            (self._root / name).unlink(missing_ok=True)


@contextmanager
def _temporary_file(folder: Path, source: BinaryIO) -> Iterator[Path]:
    _make_directory(folder)
    path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        with open(path, "xb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        yield path
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk does not say where
        raise
    finally:
        path.unlink(missing_ok=True)


def _make_directory(path: Path) -> None:
    """mkdir -p whose new entries survive a power cut."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
