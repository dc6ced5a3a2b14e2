"""The run directory on local disk or S3, through one interface.

Keys are relative POSIX paths such as ``data/shard-000007-1f2e.parquet``. They are checked on every call, so a key that
comes from data cannot leave the run directory. How a shard is committed lies in `toffee_pipeline.rundir.commit`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from toffee_pipeline.errors import MissingKey, StorageError
from toffee_pipeline.storage.base import Storage, check_key
from toffee_pipeline.storage.local import LocalStorage

__all__ = ["LocalStorage", "MissingKey", "Storage", "StorageError", "check_key", "open_storage"]


def open_storage(uri: str, endpoint_url: str | None = None, follow_links: bool = False) -> Storage:
    """Open the run directory at `uri`: a local path, ``file:///path`` or ``s3://bucket/prefix``. Creates nothing.

    Args:
        endpoint_url: of S3-compatible stores (MinIO and others). Credentials come from the usual AWS chain only.
        follow_links: of a local path, see `LocalStorage`: True for the user's own images and pairs, of which many are
            folders of links, and which are only read.

    Raises `StorageError` for anything else.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", uri)
    if not uri or "\0" in uri:
        raise StorageError(
            "run directory: the URI is empty or holds a NUL; allowed: a path, file:///path, s3://bucket/prefix"
        )
    if scheme is None:
        return LocalStorage(uri, endpoint_url, follow_links)
    name, rest = scheme[1].lower(), uri[scheme.end() :]
    if name == "file" and re.match(r"/(localhost)?/", rest):
        return LocalStorage(unquote(rest[1:].removeprefix("localhost")), endpoint_url, follow_links)
    if name == "s3" and rest.startswith("/"):
        from toffee_pipeline.storage.s3 import S3Storage  # a third of a second that local disk does without

        return S3Storage(rest[1:], endpoint_url)
    # Only the scheme is shown: what follows may hold a password.
    raise StorageError(
        f"run directory '{scheme[1]}:/...': allowed are a local path, file:///path and s3://bucket/prefix"
    )
