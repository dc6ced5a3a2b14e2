"""The run directory as a folder of a local or mounted file system."""

from __future__ import annotations

import fcntl
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toffee_pipeline.errors import MissingKey
from toffee_pipeline.storage.base import TEMPORARY, Storage, check_key


class LocalStorage(Storage):
    """A folder. The file system must know hard links (FAT does not) and, for `compare_and_swap`, flock."""

    def __init__(self, path: str) -> None:
        self._root = Path(os.path.abspath(os.path.expanduser(path)))
        self.uri = str(self._root)

    def __repr__(self) -> str:
        return f"LocalStorage({self.uri!r})"

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

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
            with open(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()) or file.read() != old:
                    return False
                self.put(key, new)
        except FileNotFoundError:
            return False
        return True

    def get(self, key: str) -> bytes:
        with self.open(key) as file:
            return file.read()

    def open(self, key: str) -> BinaryIO:
        path = self._path(key)
        try:
            return path.open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise MissingKey(f"{path}: no such key") from error

    def put_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        with open(path, "rb") as source, _temporary_file(target.parent, source) as temporary:
            os.replace(temporary, target)
        _sync_directory(target.parent)

    def get_file(self, key: str, path: Path) -> None:
        with self.open(key) as source, _temporary_file(path.parent, source) as temporary:
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
        return _walk(self._root / folder, f"{folder}/" if folder else "", prefix)

    def temporary(self) -> list[str]:
        return sorted(path.relative_to(self._root).as_posix() for path in self._root.rglob(f"{TEMPORARY}*"))

    def delete_temporary(self) -> None:
        for name in self.temporary():
            (self._root / name).unlink(missing_ok=True)


def _walk(folder: Path, base: str, prefix: str) -> Iterator[tuple[str, int]]:
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
                yield from _walk(folder / entry.name, f"{key}/", prefix)
        elif key.startswith(prefix) and entry.is_file():
            try:
                yield key, entry.stat().st_size
            except FileNotFoundError:  # deleted since: as if listed a moment later
                continue


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
