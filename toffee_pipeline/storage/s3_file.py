"""An object of S3 as a file."""

from __future__ import annotations

import io
from collections.abc import Callable


class S3File(io.RawIOBase):
    """An object of S3 as a file that is read in parts: each read is a request."""

    def __init__(self, get_range: Callable[[int, int], bytes], size_bytes: int) -> None:
        """get_range: the bytes from a first one on, so many of them; size_bytes: of the object."""
        self._get_range, self._size_bytes, self._position = get_range, size_bytes, 0

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
        data = self._get_range(self._position, size) if size else b""
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """What `io.BufferedReader` reads by."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
