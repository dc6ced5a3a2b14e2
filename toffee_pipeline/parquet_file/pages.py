"""What the pages of a Parquet file take in memory, by their own headers, looked at as pyarrow reads them.

pyarrow believes these headers, and makes room for what they say; bounds go by the footer's sizes. So the two are held
against each other. https://github.com/apache/parquet-format#data-pages
"""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from toffee_pipeline.parquet_file.header import (
    COMPRESSED_SIZE,
    KIND,
    MAX_HEADER_BYTES,
    NUM_VALUES,
    UNCOMPRESSED_SIZE,
    read_header,
)

CODECS = {
    "UNCOMPRESSED": None,
    "SNAPPY": "snappy",
    "GZIP": "gzip",
    "BROTLI": "brotli",
    "LZ4": "lz4_raw",
    "ZSTD": "zstd",
}
"""As a footer calls them, and as pyarrow does."""
DICTIONARY_PAGE = 2


@dataclass
class Chunk:
    """The pages of a column in a row group.

    Args:
        at: where the first of them begins.
        end: where they end.
        left: bytes that they may still take, as the footer says.
        codec: of `CODECS`, of a column of lists: a value of its dictionary may stand in a row any number of times.
        max_value_bytes: of such a value.
        values_left: that the pages of a column of lists may still have, as the footer says.
    """

    name: str
    at: int
    end: int
    left: int
    codec: str | None = None
    max_value_bytes: int = 0
    values_left: int | None = None
    head: bytes = b""
    """Of the header at hand, what was read of it."""


class PageTooLarge(Exception):
    """A page is larger than its reader can do with."""


class Pages:
    """A file's pages, as they are read.

    Args:
        file: is read in parts, or is in memory or mapped.

    Attributes:
        source: what pyarrow reads from.
    """

    def __init__(self, file: BinaryIO | bytes | mmap.mmap) -> None:
        self._chunks: list[Chunk] = []
        self._max_page_bytes = 0
        if isinstance(file, bytes | mmap.mmap):
            self._data = memoryview(file)
            self.source = pa.BufferReader(file)
        else:
            self._data = memoryview(b"")
            self.source = pa.PythonFile(_Watched(file, self._look), mode="r")

    def expect(self, chunks: Sequence[Chunk], max_page_bytes: int) -> None:
        """The pages that are read next.

        Where one of them takes more than the footer says, or its header is none, this or the read raises
        pa.ArrowInvalid; and PageTooLarge.
        """
        self._chunks, self._max_page_bytes = [chunk for chunk in chunks if chunk.at < chunk.end], max_page_bytes
        if self._data:
            self._look(self._data, 0)

    def _look(self, data: memoryview, start: int) -> None:
        end = start + len(data)
        for chunk in self._chunks:
            while start <= chunk.at < min(end, chunk.end):
                rest = data[chunk.at - start : chunk.at - start + MAX_HEADER_BYTES]
                held = memoryview(chunk.head + bytes(rest)) if chunk.head else rest
                if (found := read_header(held, chunk.name, whole=len(held) >= MAX_HEADER_BYTES)) is None:
                    chunk.head, chunk.at = bytes(held), end  # the next read has the rest
                    break
                header, length = found
                first = chunk.at - len(chunk.head) + length
                uncompressed, compressed = header[UNCOMPRESSED_SIZE], header[COMPRESSED_SIZE]
                self._take(chunk, uncompressed, header.get(NUM_VALUES, 0))
                if header[KIND] == DICTIONARY_PAGE and chunk.codec is not None:
                    page = data[first - start : first - start + compressed] if first >= start else data[:0]
                    _check_values(chunk, page, uncompressed)
                chunk.head, chunk.at = b"", first + compressed

    def _take(self, chunk: Chunk, size: int, num_values: int) -> None:
        chunk.left -= size
        if chunk.left < 0:
            raise pa.ArrowInvalid(f"column {chunk.name}: its pages take more memory than the footer says")
        if chunk.values_left is not None:
            chunk.values_left -= num_values
            if chunk.values_left < 0:
                raise pa.ArrowInvalid(f"column {chunk.name}: its pages have more values than the footer says")
        if size > self._max_page_bytes:
            raise PageTooLarge


class _Watched(io.RawIOBase):
    """A file, of which `look` gets all that is read, and where it begins."""

    def __init__(self, file: BinaryIO, look: Callable[[memoryview, int], None]) -> None:
        self._file, self._look = file, look

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        data = self._file.read(size)
        self._look(memoryview(data), start)
        return data


def _check_values(chunk: Chunk, page: memoryview, size: int) -> None:
    """Raises pa.ArrowInvalid where a text of a dictionary is longer than a list of them allows."""
    codec = CODECS[chunk.codec] if chunk.codec else None
    values = page if codec is None else memoryview(pa.decompress(page, size, codec))
    at = 0
    while at + 4 <= len(values):
        (length,) = struct.unpack_from("<I", values, at)
        if length > chunk.max_value_bytes:
            raise pa.ArrowInvalid(
                f"column {chunk.name}: a value of {length} bytes in lists; with so many values allowed are "
                f"{chunk.max_value_bytes}"
            )
        at += 4 + length
