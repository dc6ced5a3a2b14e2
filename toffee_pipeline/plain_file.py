"""Files that may have been handed over: only regular ones are read, and of those not more than is allowed."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from toffee_pipeline.errors import DamagedFile

MAX_TEXT_BYTES = 64 * 2**20
"""Of a file that people write: settings, a catalogue, a list of words."""


def open_plain(path: Path, mode: Literal["rb", "r+b"] = "rb") -> BinaryIO:
    """As `open`, but of regular files alone: a pipe or a device may never end. Raises DamagedFile."""
    return open(path, mode, opener=_opener)


def read_plain(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """The bytes of the file. Raises as `open_plain`, and DamagedFile where there are more."""
    with open_plain(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        check_size(size_bytes, max_bytes, str(path))
        return file.read(size_bytes)  # memory for all that is asked for is taken first


def lines_of(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """The lines, with their ends. Of one that is too long its first max_bytes + 1: it is never held whole."""
    while line := file.readline(max_bytes + 1):
        yield line
        while len(line) > max_bytes and not line.endswith(b"\n"):
            line = file.readline(max_bytes + 1)


def mapped(file: BinaryIO) -> bytes | mmap.mmap:
    """The bytes of a file, of any size: what is not looked at takes no memory. It may be closed, and deleted."""
    empty = os.fstat(file.fileno()).st_size == 0
    return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def check_size(size_bytes: int, max_bytes: int, name: str) -> None:
    """Raises DamagedFile where a file is larger than it may be."""
    if size_bytes > max_bytes:
        raise DamagedFile(f"{name}: damaged: {size_bytes} bytes; allowed are {max_bytes}")


def _opener(path: str, flags: int) -> int:
    # a pipe that nobody writes to is opened at once, and then seen for what it is
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # of folders `open` says so itself
        return descriptor
    os.close(descriptor)
    raise DamagedFile(f"{path}: damaged: no regular file")
