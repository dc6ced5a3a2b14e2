"""Messages of Arrow files and streams of strangers, looked at before a batch is made of them."""

from __future__ import annotations

import struct

import pyarrow as pa


def may_be_compressed(message: pa.Message) -> bool:
    """Whether a record batch may say so, of which pyarrow says nothing: its buffers could then be of any size.

    The metadata are a flatbuffer of Arrow's Message.fbs: `compression` is field 3 of the record batch, which is field 2
    of the message. Before version 5 it could stand elsewhere.
    """
    metadata = message.metadata

    def field(table: int, number: int) -> int | None:
        vtable = table - struct.unpack_from("<i", metadata, table)[0]
        slot = 4 + 2 * number
        size = struct.unpack_from("<H", metadata, vtable)[0]
        offset = struct.unpack_from("<H", metadata, vtable + slot)[0] if slot < size else 0
        return table + offset if offset else None

    def follow(place: int) -> int:
        return place + int(struct.unpack_from("<I", metadata, place)[0])

    if message.metadata_version != pa.ipc.MetadataVersion.V5:
        return True
    batch = field(follow(0), 2)
    return batch is None or field(follow(batch), 3) is not None
