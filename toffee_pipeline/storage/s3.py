"""The run directory as a prefix of an S3 bucket."""

from __future__ import annotations

import io
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from toffee_pipeline.config.endpoint import ALLOWED, ENDPOINT
from toffee_pipeline.errors import MissingKey, StorageAway, StorageError
from toffee_pipeline.plain_file import check_size
from toffee_pipeline.storage.base import MAX_BYTES, Storage, check_key, is_key
from toffee_pipeline.storage.patience import OUTAGE_S, Patience
from toffee_pipeline.storage.s3_errors import CHECK_CREDENTIALS, error_code, http_status, in_words, passes
from toffee_pipeline.storage.s3_file import S3File

S3_CONFIG = Config(
    # a part of a large file is tried again by itself; what lasts longer is `Patience`'s
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)
NOT_AWS = S3_CONFIG.merge(
    # boto3 of 2025 sends checksums after the body, which other stores refuse over HTTPS as without a length
    Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
)
MAX_HELD_BYTES = 32 * 2**20
"""What is larger is mapped from a copy on disk."""


def _is_aws(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


class S3Storage(Storage):
    """A prefix of an S3 bucket, `address` is ``bucket/prefix``. What the store must honour stands in `check`."""

    def __init__(self, address: str, endpoint_url: str | None = None) -> None:
        self._bucket, _, prefix = address.partition("/")
        prefix = prefix.strip("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", self._bucket):
            raise StorageError(
                "run directory 's3://...': the bucket is not a bucket name (no credentials belong there)"
            )
        if prefix and (re.search("[?#]", prefix) or not is_key(prefix)):
            raise StorageError(
                f"run directory 's3://{self._bucket}/...': the prefix is no plain path (no '?', '#', '..', '//')"
            )
        if endpoint_url is not None and not ENDPOINT.fullmatch(endpoint_url):
            raise StorageError(f"S3 endpoint: {ALLOWED}; the bucket belongs into s3://bucket/prefix")
        self._prefix = f"{prefix}/" if prefix else ""
        self.endpoint_url = endpoint_url
        self.uri = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self._clients: dict[int, Any] = {}
        self._patience = Patience(self.uri, passes, in_words, OUTAGE_S)
        self._num_inner_retries = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Storage, (self.uri.removeprefix("s3://"), self.endpoint_url)

    def __repr__(self) -> str:
        return f"S3Storage({self.uri!r})"

    def _client(self) -> Any:
        process = os.getpid()  # a client must not be shared with a forked child
        if process not in self._clients:
            client = _make_client(self.endpoint_url)
            if not ENDPOINT.fullmatch(client.meta.endpoint_url):
                raise StorageError(f"S3 endpoint of the environment: {ALLOWED}")
            if self.endpoint_url is None and not _is_aws(client.meta.endpoint_url):  # the environment named another
                client = _make_client(client.meta.endpoint_url)
            client.meta.events.register("needs-retry.s3", self._count_retry)
            return self._clients.setdefault(process, client)
        return self._clients[process]

    def _count_retry(self, attempts: int, **_: Any) -> None:
        """botocore asks after each attempt, also after one that went well; the first is none that was repeated."""
        self._num_inner_retries += attempts > 1

    @property
    def num_retries(self) -> int:
        return self._num_inner_retries + self._patience.num_repeats

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def path_for(self, key: str) -> str:
        return f"{self.uri}/{check_key(key)}"

    def put(self, key: str, data: bytes) -> None:
        self._upload(key, lambda: io.BytesIO(data))

    def put_file(self, key: str, path: Path) -> None:
        self._upload(key, lambda: path.open("rb"))

    def _upload(self, key: str, source: Callable[[], BinaryIO]) -> None:
        def upload() -> None:
            with source() as file:
                self._client().upload_fileobj(file, **self._object(key))  # boto3 sends what is large in parts

        with self._one_line(key):
            self._patience(upload)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._one_line(key):
            return self._put_if(key, data, IfNoneMatch="*")

    def compare_and_swap(self, key: str, old: bytes, new: bytes) -> bool:
        with self._one_line(key):
            try:
                body, etag = self._read(key)
                if body != old:
                    return False
                if self._put_if(key, new, IfMatch=etag):
                    return True
                if self._read(key) != (old, etag):
                    return False
                # refused although nothing has changed: Ceph compares without the quotes
                return self._put_if(key, new, IfMatch=etag.strip('"'))
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return False
                raise

    def _put_if(self, key: str, data: bytes, **condition: str) -> bool:
        try:
            self._patience(lambda: self._client().put_object(**self._object(key), Body=data, **condition))
        except ClientError as error:
            if http_status(error) == 412:
                return False
            raise
        return True

    def check(self, key: str, swaps: bool) -> None:
        self.put(key, b"old")
        try:
            if self.put_if_absent(key, b"new"):
                raise StorageError(
                    f"{self.uri}: this store does not honour If-None-Match: two tries of a shard could both be "
                    "committed; use another store (docs/storage.md)"
                )
            if not swaps:
                return
            with self._one_line(key):
                ignored = self._put_if(key, b"new", IfMatch=f'"{"0" * 32}"')
            if ignored or not self.compare_and_swap(key, b"old", b"new"):
                how = "ignored" if ignored else "always refused"
                raise StorageError(
                    f"{self.uri}: this store does not honour If-Match ({how}), so that no lease can be held here; set "
                    "output.lease_s=0 where the job has it, and see to it that no second job works on this run"
                )
        finally:
            self.delete(key)

    def get(self, key: str, max_bytes: int = MAX_BYTES) -> bytes:
        with self._one_line(key):
            return self._read(key, max_bytes)[0]

    def open(self, key: str) -> BinaryIO:
        return cast(BinaryIO, S3File(partial(self.get_range, key), self._size_bytes(key)))

    def _size_bytes(self, key: str) -> int:
        with self._one_line(key):
            size: int = self._patience(lambda: self._client().head_object(**self._object(key)))["ContentLength"]
        return size

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """`size_bytes` (at least 1) of what lies under `key`, from byte `start` on."""
        with self._one_line(key):
            return self._read(key, size_bytes, Range=f"bytes={start}-{start + size_bytes - 1}")[0]

    def _read(self, key: str, max_bytes: int = MAX_BYTES, **part: str) -> tuple[bytes, str]:
        """The bytes under `key`, or a part of them, and their ETag."""
        data, etag, size_bytes = self._read_few(key, max_bytes, **part)
        check_size(size_bytes, max_bytes, self.path_for(key))
        return data, etag

    def _read_few(self, key: str, max_bytes: int, **part: str) -> tuple[bytes, str, int]:
        """As `_read`, and how many bytes there are; none of them where they are more than `max_bytes`."""

        def read() -> tuple[bytes, str, int]:
            response = self._client().get_object(**self._object(key), **part)
            size_bytes = response["ContentLength"]
            with closing(response["Body"]) as body:  # else what is not read keeps its connection
                return body.read() if size_bytes <= max_bytes else b"", response["ETag"], size_bytes

        return self._patience(read)

    def get_file(self, key: str, path: Path, max_bytes: int | None) -> None:
        if max_bytes is not None:
            check_size(self._size_bytes(key), max_bytes, self.path_for(key))
        with self._one_line(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._patience(lambda: self._client().download_file(**self._object(key), Filename=str(path)))

    def map(self, key: str, max_bytes: int | None = None) -> bytes | mmap.mmap:
        held_bytes = MAX_HELD_BYTES if max_bytes is None else min(MAX_HELD_BYTES, max_bytes)
        with self._one_line(key):
            data, _, size_bytes = self._read_few(key, held_bytes)
        return data if size_bytes <= held_bytes else self._mapped_copy(key, max_bytes)

    def exists(self, key: str) -> bool:
        with self._one_line(key):
            try:
                self._patience(lambda: self._client().head_object(**self._object(key)))
            except ClientError as error:
                if http_status(error) != 404:
                    raise
                return False
        return True

    def delete(self, key: str) -> None:
        with self._one_line(key):
            self._patience(lambda: self._client().delete_object(**self._object(key)))

    def move(self, old: str, new: str) -> None:
        with self._one_line(old):
            source, target = self._object(old), self._object(new)
            # boto3 copies what is large in parts
            self._patience(lambda: self._client().copy(CopySource=source, **target))
            self._patience(lambda: self._client().delete_object(**source))

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        where: dict[str, str] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            with self._one_line(prefix):
                page = self._patience(lambda: self._client().list_objects_v2(**where))
            for entry in page.get("Contents", []):
                yield entry["Key"].removeprefix(self._prefix), entry["Size"]
            if not page["IsTruncated"]:
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    @contextmanager
    def _one_line(self, key: str) -> Iterator[None]:
        """Turns boto3's errors into a `StorageError` that names the object, and what to check where that is known."""
        name = f"{self.uri}/{key}"
        try:
            try:
                yield
            except ClientError as error:
                if error.operation_name == "HeadObject":  # its answer has no body to say why; a GET's has
                    self._patience(lambda: self._client().get_object(**self._object(key)))["Body"].close()
                raise
        except ClientError as error:
            if error_code(error) == "NoSuchKey":
                raise MissingKey(f"{name}: no such key") from error
            raise self._lasting(error)(f"{name}: {in_words(error)}") from error
        except NoCredentialsError as error:
            raise StorageError(f"{name}: no credentials found: {CHECK_CREDENTIALS}") from error
        except (BotoCoreError, Boto3Error) as error:
            raise self._lasting(error)(f"{name}: {in_words(error)}") from error

    def _lasting(self, error: Exception) -> type[StorageError]:
        """The class of what `Patience` waited for in vain, and of what does not pass: nor does an endpoint at which
        nobody has ever answered, such as a misspelt one."""
        is_there = self._patience.answered or isinstance(error, ClientError)
        return StorageAway if passes(error) and is_there else StorageError


@cache
def _s3_description() -> Any:
    """What botocore's sessions read S3's description from; it keeps the megabyte of JSON, which takes 0.1 s."""
    described = botocore.session.get_session()
    boto3.session.Session(botocore_session=described)  # adds a folder to it
    return described.get_component("data_loader")


def _make_client(endpoint_url: str | None) -> Any:
    config = S3_CONFIG if endpoint_url is None or _is_aws(endpoint_url) else NOT_AWS
    described = botocore.session.get_session()
    session = boto3.session.Session(botocore_session=described)  # an own one: the default session is not thread safe
    described.register_component("data_loader", _s3_description())
    try:
        return session.client("s3", endpoint_url=endpoint_url, config=config)
    except ValueError as error:
        if isinstance(error, BotoCoreError):
            raise
        raise StorageError(f"S3 endpoint of the environment: {ALLOWED}") from None  # botocore shows it whole
