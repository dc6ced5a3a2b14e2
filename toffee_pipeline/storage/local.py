"""The run directory as a folder of a local or mounted file system."""

from __future__ import annotations

import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toffee_pipeline.storage.base import TEMPORARY, MissingKey, Storage, check_key


class LocalStorage(Storage):
    """A folder. The file system must know hard links (nearly all do; FAT does not)."""

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

    def get(self, key: str) -> bytes:
        with self._open(key) as file:
            return file.read()

    def _open(self, key: str) -> BinaryIO:
        path = self._path(key)
        try:
            return open(path, "rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise MissingKey(f"{path}: no such key") from error

    def put_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        with open(path, "rb") as source, _temporary_file(target.parent, source) as temporary:
            os.replace(temporary, target)
        _sync_directory(target.parent)

    def get_file(self, key: str, path: Path) -> None:
        with self._open(key) as source, _temporary_file(path.parent, source) as temporary:
            os.replace(temporary, path)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        found: dict[str, int] = {}
        for folder, _, names in os.walk(self._root / prefix.rpartition("/")[0], onerror=_raise_unless_missing):
            for path in (Path(folder, name) for name in names):
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix):
                    try:
                        found[key] = path.stat().st_size
                    except FileNotFoundError:  # deleted since: as if listed a moment later
                        continue
        yield from sorted(found.items())

    def delete_temporary(self) -> None:
        for path in self._root.rglob(f"{TEMPORARY}*"):
            path.unlink()


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


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
