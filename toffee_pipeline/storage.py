"""The run directory on local disk or S3, through one interface.

Keys are relative POSIX paths such as ``data/shard-000007-1f2e.parquet``. They are checked on every call, so a key that
comes from data cannot leave the run directory. How a shard is committed lies in `toffee_pipeline.commit`.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError

TEMPORARY = ".tmp-"
ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+])(:\d{1,5})?(/[^\s@?#]*)?")
ATTEMPTS = 8
S3_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": ATTEMPTS}, connect_timeout=10, read_timeout=60, max_pool_connections=32
)


class StorageError(OSError):
    """The storage refused or failed; one line that names the key or the URI, never a credential."""


class MissingKey(StorageError, KeyError):
    """Nothing lies under this key."""


def check_key(key: str) -> str:
    """Return `key` if it is a relative path of plain segments, else raise `StorageError`."""
    if not _is_key(key):
        raise StorageError(
            f"key {key!r}: allowed is a relative path with '/', without '..', empty or '{TEMPORARY}*' parts, "
            "backslashes or control characters"
        )
    return key


def _is_key(key: str) -> bool:
    if not isinstance(key, str) or not key.isprintable() or "\\" in key:
        return False
    return all(part not in ("", ".", "..") and not part.startswith(TEMPORARY) for part in key.split("/"))


class Storage(ABC):
    """A run directory. Picklable, and safe to share between threads; each process opens connections of its own.

    Every method raises `StorageError` for a bad key. Failures of the store raise `StorageError` (S3) or the operating
    system's `OSError` (local); `except OSError` catches both.
    """

    uri: str

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write or replace `key`: atomic (readers see old or new) and durable on return. On S3 at most 5 GB."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write `key` unless it exists; of many writers exactly one writes. Durable on return.

        False means that the key exists. After a retry inside the S3 client it may be this very call that wrote it, so a
        caller that must know puts something unique into `data` and reads it back (see `commit_shard`).
        """

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The bytes under `key`. Raises `MissingKey`."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether `key` is there."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove `key`; no error when it is not there."""

    @abstractmethod
    def path_for(self, key: str) -> str:
        """Local path or ``s3://`` URI of `key`, for pyarrow or datasets (which must be told of an own endpoint)."""

    def delete_temporary(self) -> None:  # noqa: B027 (nothing to do on S3)
        """Remove what killed writers left behind. Only while nobody writes."""

    @abstractmethod
    def _list(self, prefix: str) -> Iterator[tuple[str, int]]: ...

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield (key, size_bytes) of each key that starts with `prefix`, sorted by key ("" lists all).

        Foreign objects whose names are no keys (folder markers, temporary files) are left out.
        """
        if prefix:
            check_key(prefix.removesuffix("/"))
        return ((key, size_bytes) for key, size_bytes in self._list(prefix) if _is_key(key))


def open_storage(uri: str, endpoint_url: str | None = None) -> Storage:
    """Open the run directory at `uri`: a local path, ``file:///path`` or ``s3://bucket/prefix``. Creates nothing.

    `endpoint_url` is for S3-compatible stores (MinIO and others) and has no meaning for a local path. Credentials come
    from the usual AWS chain only. Raises `StorageError` for anything else.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", uri)
    if not uri or "\0" in uri:
        raise StorageError(
            "run directory: the URI is empty or holds a NUL; allowed: a path, file:///path, s3://bucket/prefix"
        )
    if scheme is None:
        return LocalStorage(uri)
    name, rest = scheme[1].lower(), uri[scheme.end() :]
    if name == "file" and re.match(r"/(localhost)?/", rest):
        return LocalStorage(unquote(rest[1:].removeprefix("localhost")))
    if name == "s3" and rest.startswith("/"):
        return S3Storage(rest[1:], endpoint_url)
    # Only the scheme is shown: what follows may hold a password.
    raise StorageError(
        f"run directory '{scheme[1]}:/...': allowed are a local path, file:///path and s3://bucket/prefix"
    )


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
        with _temporary_file(path.parent, data) as temporary:
            os.replace(temporary, path)
        _sync_directory(path.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with _temporary_file(path.parent, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        _sync_directory(path.parent)
        return True

    def get(self, key: str) -> bytes:
        path = self._path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise MissingKey(f"{path}: no such key") from error

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
def _temporary_file(folder: Path, data: bytes) -> Iterator[Path]:
    _make_directory(folder)
    path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        with open(path, "xb") as file:
            file.write(data)
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


class S3Storage(Storage):
    """A prefix of an S3 bucket, `address` is ``bucket/prefix``. The store must honour ``If-None-Match`` in puts."""

    def __init__(self, address: str, endpoint_url: str | None = None) -> None:
        self._bucket, _, prefix = address.partition("/")
        prefix = prefix.strip("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", self._bucket):
            raise StorageError(
                "run directory 's3://...': the bucket is not a bucket name (no credentials belong there)"
            )
        if prefix and (re.search("[?#]", prefix) or not _is_key(prefix)):
            raise StorageError(
                f"run directory 's3://{self._bucket}/...': the prefix is no plain path (no '?', '#', '..', '//')"
            )
        if endpoint_url is not None and not ENDPOINT.fullmatch(endpoint_url):
            raise StorageError("S3 endpoint: allowed is http(s)://host[:port], without user, password or query")
        self._prefix = f"{prefix}/" if prefix else ""
        self.endpoint_url = endpoint_url
        self.uri = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self._clients: dict[int, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return open_storage, (self.uri, self.endpoint_url)

    def __repr__(self) -> str:
        return f"S3Storage({self.uri!r})"

    def _client(self) -> Any:
        process = os.getpid()  # a client must not be shared with a forked child
        if process not in self._clients:
            session = boto3.session.Session()  # an own one: the default session is not thread safe
            client = session.client("s3", endpoint_url=self.endpoint_url, config=S3_CONFIG)
            return self._clients.setdefault(process, client)
        return self._clients[process]

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def path_for(self, key: str) -> str:
        return f"{self.uri}/{check_key(key)}"

    def put(self, key: str, data: bytes) -> None:
        with _one_line(self.path_for(key)):
            self._client().put_object(**self._object(key), Body=data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with _one_line(self.path_for(key)):
            for attempt in range(ATTEMPTS):
                try:
                    self._client().put_object(**self._object(key), Body=data, IfNoneMatch="*")
                    return True
                except ClientError as error:
                    if _status(error) == 412:
                        return False
                    # 409: another conditional write is under way; S3 asks to try again.
                    if _status(error) != 409 or attempt == ATTEMPTS - 1:
                        raise
                time.sleep(random.uniform(0.5, 1) * min(0.1 * 2**attempt, 5))
        raise AssertionError("unreachable")

    def get(self, key: str) -> bytes:
        with _one_line(self.path_for(key)):
            for attempt in range(ATTEMPTS):
                response = self._client().get_object(**self._object(key))
                try:
                    body: bytes = response["Body"].read()
                    return body
                except (HTTPClientError, IncompleteReadError):  # botocore retries the request, not a body cut short
                    if attempt == ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def exists(self, key: str) -> bool:
        with _one_line(self.path_for(key)):
            try:
                self._client().head_object(**self._object(key))
            except ClientError as error:
                if _status(error) != 404:
                    raise
                return False
        return True

    def delete(self, key: str) -> None:
        with _one_line(self.path_for(key)):
            self._client().delete_object(**self._object(key))

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        with _one_line(f"{self.uri}/{prefix}"):
            pages = (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"].removeprefix(self._prefix), entry["Size"]


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            raise MissingKey(f"{name}: no such key") from error
        raise StorageError(f"{name}: {error}") from error
    except BotoCoreError as error:
        raise StorageError(f"{name}: {error}") from error
