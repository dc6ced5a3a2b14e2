"""The header of a page of Parquet: of Thrift's compact protocol so much as its sizes take.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

MAX_HEADER_BYTES = 2**20
MAX_DEPTH = 8
"""Of structs in a header; the format has three."""
STOP, TRUE, FALSE, BYTE, I32, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12
"""Of Thrift's compact protocol; types 4 and 6 are integers too."""
KIND, UNCOMPRESSED_SIZE, COMPRESSED_SIZE = 1, 2, 3
"""Fields of a header."""
OF_DATA = (5, 8)
"""More of a page of values, in two versions; its first field is their number."""
NUM_VALUES = 2**16
"""Under which that is found; fields have numbers of 16 bits."""


def read_header(data: memoryview, name: str, whole: bool) -> tuple[dict[int, int], int] | None:
    """What the header of a page says, and its own size; None where it goes on behind the data. whole: it must not.
    Raises pa.ArrowInvalid for what is none."""
    found: dict[int, int] = {}
    try:
        end = _skip_struct(data, 0, 0, found)
    except IndexError:
        if not whole:
            return None
        found = {}
    needed = (found.get(field, -1) for field in (KIND, UNCOMPRESSED_SIZE, COMPRESSED_SIZE))
    if min(*needed, found.get(NUM_VALUES, 0)) < 0:
        raise pa.ArrowInvalid(f"column {name}: the header of a page is none")
    return found, end


def _skip_struct(data: memoryview, at: int, depth: int, found: dict[int, int] | None = None) -> int:
    """Where it ends. found: gets its 32-bit numbers by field, of several the last. Raises IndexError where the data
    ends before."""
    if depth > MAX_DEPTH:
        raise pa.ArrowInvalid("the header of a page is none")
    field = 0
    while (head := data[at]) & 0x0F != STOP:
        at += 1
        kind = head & 0x0F
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(data, at)
        field = (field + 2**15) % 2**16 - 2**15
        if kind == I32 and found is not None:
            found[field], at = _number(data, at)
        elif kind == STRUCT and found is not None and depth == 0 and field in OF_DATA:
            inner: dict[int, int] = {}
            at = _skip_struct(data, at, 1, inner)
            found[NUM_VALUES] = found.get(NUM_VALUES, 0) + inner.get(1, -1)
        else:
            at = _skip(data, at, kind, depth)
    return at + 1


def _skip(data: memoryview, at: int, kind: int, depth: int, in_list: bool = False) -> int:
    if kind in (TRUE, FALSE):
        return at + in_list  # else it is the field's type
    if kind == BYTE:
        return at + 1
    if kind == DOUBLE:
        return at + 8
    if kind == BINARY:
        length, at = _varint(data, at)
        return at + length
    if kind in (LIST, SET):
        number, kind = data[at] >> 4, data[at] & 0x0F
        at += 1
        if number == 15:
            number, at = _varint(data, at)
        return _skip_all(data, at, [kind] * min(number, len(data)), depth)
    if kind == MAP:
        number, at = _varint(data, at)
        kinds = [data[at] >> 4, data[at] & 0x0F] if number else []
        return _skip_all(data, at + bool(number), kinds * min(number, len(data)), depth)
    if kind == STRUCT:
        return _skip_struct(data, at, depth + 1)
    if kind in (4, I32, 6):
        return _varint(data, at)[1]
    raise pa.ArrowInvalid("the header of a page is none")


def _skip_all(data: memoryview, at: int, kinds: Sequence[int], depth: int) -> int:
    for kind in kinds:
        at = _skip(data, at, kind, depth + 1, in_list=True)
        if at > len(data):
            raise IndexError
    return at


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """A signed number of 32 bits, and where it ends."""
    value, at = _varint(data, at)
    value &= 0xFFFFFFFF
    return (value >> 1) ^ -(value & 1), at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise pa.ArrowInvalid("the header of a page is none")
