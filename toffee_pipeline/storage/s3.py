"""The run directory as a prefix of an S3 bucket."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from tenacity import Retrying, retry, retry_if_exception, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from toffee_pipeline.errors import MissingKey, StorageError
from toffee_pipeline.storage.base import Storage, check_key, is_key

ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+])(:\d{1,5})?/?")
ATTEMPTS = 8
S3_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": ATTEMPTS}, connect_timeout=10, read_timeout=60, max_pool_connections=32
)
CHECK_CREDENTIALS = "check AWS_PROFILE, the AWS_* variables or the role of this machine"
CHECK_POLICY = "check that the policy allows s3:ListBucket, GetObject, PutObject and DeleteObject here"
ADVICE = {
    "NoSuchBucket": "there is no such bucket; check its name, and region or endpoint",
    "AccessDenied": f"no permission; {CHECK_POLICY}",
    "403": f"no permission; {CHECK_POLICY}",  # of a HEAD, whose answer has no body to say more
    "400": f"bad request, often expired credentials; {CHECK_CREDENTIALS}",
    "InvalidAccessKeyId": f"the access key is unknown; {CHECK_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key or this machine's clock is wrong; {CHECK_CREDENTIALS}",
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"),
        f"the credentials have expired; renew them, then run the same command again ({CHECK_CREDENTIALS})",
    ),
}
"""Error code -> what to check. The server's own words are left out: some servers repeat the request in them."""


CUT_SHORT = retry_if_exception_type((HTTPClientError, IncompleteReadError))
"""botocore repeats a request, but not the reading of its body."""


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _is_conflict(error: BaseException) -> bool:
    """Whether another conditional write is under way: S3 asks to try again."""
    return isinstance(error, ClientError) and _status(error) == 409


class S3Storage(Storage):
    """A prefix of an S3 bucket, `address` is ``bucket/prefix``. The store must honour ``If-None-Match`` in puts."""

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
            raise StorageError(
                "S3 endpoint: allowed is http(s)://host[:port], without user, password, path or query; "
                "the bucket belongs into s3://bucket/prefix"
            )
        self._prefix = f"{prefix}/" if prefix else ""
        self.endpoint_url = endpoint_url
        self.uri = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self._clients: dict[int, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Storage, (self.uri.removeprefix("s3://"), self.endpoint_url)

    def __repr__(self) -> str:
        return f"S3Storage({self.uri!r})"

    def _client(self) -> Any:
        process = os.getpid()  # a client must not be shared with a forked child
        if process not in self._clients:
            session = boto3.session.Session()  # an own one: the default session is not thread safe
            client = session.client("s3", endpoint_url=self.endpoint_url, config=S3_CONFIG)
            client.meta.events.register("needs-retry.s3", self._count_retry)
            return self._clients.setdefault(process, client)
        return self._clients[process]

    def _count_retry(self, attempts: int, **_: Any) -> None:
        """botocore asks after each attempt, also after one that went well; the first is none that was repeated."""
        self.num_retries += attempts > 1

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def path_for(self, key: str) -> str:
        return f"{self.uri}/{check_key(key)}"

    def put(self, key: str, data: bytes) -> None:
        self._upload(key, io.BytesIO(data))

    def put_file(self, key: str, path: Path) -> None:
        with open(path, "rb") as file:
            self._upload(key, file)

    def _upload(self, key: str, file: BinaryIO) -> None:
        with _one_line(self.path_for(key)):
            self._client().upload_fileobj(file, **self._object(key))  # boto3 sends what is large in parts

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with _one_line(self.path_for(key)):
            return self._put_if(key, data, IfNoneMatch="*")

    def compare_and_swap(self, key: str, old: bytes, new: bytes) -> bool:
        with _one_line(self.path_for(key)):
            try:
                body, etag = self._read(key)
                return body == old and self._put_if(key, new, IfMatch=etag)
            except ClientError as error:
                if _code(error) == "NoSuchKey":
                    return False
                raise

    @retry(
        retry=retry_if_exception(_is_conflict),
        wait=wait_random_exponential(0.1, max=5),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    def _put_if(self, key: str, data: bytes, **condition: str) -> bool:
        try:
            self._client().put_object(**self._object(key), Body=data, **condition)
        except ClientError as error:
            if _status(error) == 412:
                return False
            raise
        return True

    def get(self, key: str) -> bytes:
        with _one_line(self.path_for(key)):
            return self._read(key)[0]

    def open(self, key: str) -> BinaryIO:
        with _one_line(self.path_for(key)):
            try:
                size_bytes = self._client().head_object(**self._object(key))["ContentLength"]
            except ClientError as error:
                if _status(error) == 404:  # as in `get_file`
                    self._client().get_object(**self._object(key))
                raise
        return cast(BinaryIO, _Ranges(self, key, size_bytes))

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """`size_bytes` (at least 1) of what lies under `key`, from byte `start` on."""
        with _one_line(self.path_for(key)):
            return self._read(key, Range=f"bytes={start}-{start + size_bytes - 1}")[0]

    def _read(self, key: str, **part: str) -> tuple[bytes, str]:
        """The bytes under `key`, or a part of them, and their ETag."""
        for attempt in Retrying(retry=CUT_SHORT, stop=stop_after_attempt(ATTEMPTS), reraise=True):
            response = self._client().get_object(**self._object(key), **part)
            with attempt:
                return response["Body"].read(), response["ETag"]
        raise AssertionError("unreachable")

    def get_file(self, key: str, path: Path) -> None:
        with _one_line(self.path_for(key)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._client().download_file(**self._object(key), Filename=str(path))
            except ClientError as error:
                if _status(error) == 404:  # of a HEAD, which does not tell the key from the bucket; a GET does
                    self._client().get_object(**self._object(key))
                raise

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

    def move(self, old: str, new: str) -> None:
        with _one_line(self.path_for(old)):
            source, target = self._object(old), self._object(new)
            try:
                self._client().copy(CopySource=source, **target)  # boto3 copies what is large in parts
            except ClientError as error:
                if _status(error) == 404:  # as in `get_file`
                    self._client().get_object(**source)
                raise
            self._client().delete_object(**source)

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


class _Ranges(io.RawIOBase):
    """An object of S3 as a file that is read in parts: each read is a request."""

    def __init__(self, storage: S3Storage, key: str, size_bytes: int) -> None:
        self._storage, self._key, self._size_bytes, self._position = storage, key, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._size_bytes - self._position, 0)
        size = left if size < 0 else min(size, left)
        data = self._storage.get_range(self._key, self._position, size) if size else b""
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """What `io.BufferedReader` reads by."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _code(error: ClientError) -> str:
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Turns boto3's errors into a `StorageError` that names the object, and says what to check where that is known."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code == "NoSuchKey":
            raise MissingKey(f"{name}: no such key") from error
        if advice := ADVICE.get(code):
            raise StorageError(f"{name}: {error.operation_name} failed with {code}: {advice}") from error
        raise StorageError(f"{name}: {' '.join(str(error).split())}") from error
    except NoCredentialsError as error:
        raise StorageError(f"{name}: no credentials found: {CHECK_CREDENTIALS}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StorageError(f"{name}: {' '.join(str(error).split())}") from error
