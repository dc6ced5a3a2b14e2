"""Tar files of samples: the WebDataset convention. Files whose names agree up to the first dot are one sample."""

from __future__ import annotations

import io
import mmap
import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MEMBER = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)
"""A sample's name, up to the first dot of the file name, and the extension; hidden files belong to no sample."""
END_MARK_BYTES = 512
MAX_HEADER_BYTES = 1024 * 1024
"""Of one member, with its long name and what else tarfile would read into memory."""
MAX_END_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024

Files = dict[str, memoryview]
"""Of a sample, by extension in lower case."""


class Member(NamedTuple):
    """A file of a sample. start: byte of its header in the tar. data, size: where its bytes lie."""

    sample: str
    extension: str
    start: int
    data: int
    size: int


class BrokenTar(ValueError):
    """What follows cannot be read. sample: the last one that was named, which may be cut off."""

    def __init__(self, message: str, sample: str) -> None:
        super().__init__(message)
        self.sample = sample


class _Headers:
    """A tar as tarfile sees it, which reads headers alone."""

    def __init__(self, file: BinaryIO | mmap.mmap) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.begin()

    def begin(self) -> None:
        self._left = MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        self._left -= max(size, tarfile.BLOCKSIZE)  # also at the end of the file, where tarfile may go on for ever
        if self._left < 0:
            raise tarfile.ReadError(f"a header of more than {MAX_HEADER_BYTES} bytes")
        return self._file.read(size)


def members_of(file: BinaryIO | mmap.mmap, num_bytes: int) -> Iterator[Member]:
    """The files of all samples in their order; folders, links and hidden files are left out. Reads headers alone.

    num_bytes: of the tar, which is not compressed. Raises BrokenTar.
    """
    last, position = "", 0
    try:
        headers = _Headers(file)
        with tarfile.open(fileobj=headers, mode="r:") as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                headers.begin()
                tar.members = []  # they would pile up
                plain = member.isreg() and not member.issparse()
                name = MEMBER.fullmatch(member.name) if plain else None
                if name is not None:
                    last = name[1]
                if tar.offset > num_bytes:
                    raise tarfile.ReadError(f"truncated inside of {member.name!r}")
                if tar.offset <= position:  # a negative size would lead tarfile round in circles
                    raise tarfile.ReadError(f"damaged header at byte {position}")
                position = tar.offset
                if name is not None:
                    yield Member(name[1], name[2].lower(), member.offset, member.offset_data, member.size)
            # tarfile takes damaged headers, and zeros in the middle, for the end
            left = num_bytes - tar.offset
            if not END_MARK_BYTES <= left <= MAX_END_BYTES or not _is_zero(file, tar.offset):
                raise tarfile.ReadError(f"byte {tar.offset} is neither a tar header nor the end: truncated or damaged")
    except (tarfile.TarError, ArithmeticError, LookupError, RecursionError, ValueError) as error:
        # for damaged headers tarfile raises all of these
        raise BrokenTar(f"not a sound tar: {' '.join(str(error).split())}", last) from error


def samples_of(data: bytes | mmap.mmap) -> tuple[dict[str, Files], str | None]:
    """The samples of a tar, and what is wrong behind the last of them (None: nothing).

    Where a file comes twice, the last one counts, as with tar itself.
    """
    samples: dict[str, Files] = {}
    view = memoryview(data)
    try:
        for member in members_of(io.BytesIO(data) if isinstance(data, bytes) else data, len(data)):
            samples.setdefault(member.sample, {})[member.extension] = view[member.data : member.data + member.size]
    except BrokenTar as error:
        samples.pop(error.sample, None)
        return samples, str(error)
    return samples, None


def _is_zero(file: BinaryIO | mmap.mmap, start: int) -> bool:
    file.seek(start)
    while block := file.read(BLOCK_BYTES):
        if block.strip(b"\0"):
            return False
    return True
