"""Marks an encoded image as made by a trained network, in its XMP. The pixels are not decoded and stay as they are.

The property is IPTC's `DigitalSourceType` (Photo Metadata Standard 2025.1), which Article 50(2) of the EU's AI Act and
platforms that label such images go by.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from importlib.metadata import version
from typing import Literal

from PIL import Image

from toffee_pipeline.errors import ImageError

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
"""Of IPTC's vocabulary: drawn as a whole by a trained network, or a photograph of which a part was."""
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool="toffee-pipeline {version}"
 Iptc4xmpExt:DigitalSourceType="{source_type}"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
PNG, PNG_FIRST_CHUNK_ENDS = b"\x89PNG\r\n\x1a\n", 33
JPEG, JFIF, APP1 = b"\xff\xd8", b"\xff\xe0", b"\xff\xe1"
VP8X_XMP, VP8X_ALPHA = 0x04, 0x10


def mark(data: bytes, source_type: SourceType) -> bytes:
    """The same PNG, JPEG or WebP with an XMP packet of a few hundred bytes. It has none yet. Raises ImageError."""
    xmp = _xmp(source_type)
    try:
        if data.startswith(PNG):
            return _png(data, xmp)
        if data.startswith(JPEG):
            return _jpeg(data, xmp)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data, xmp)
    except (struct.error, IndexError, OSError, ValueError) as error:
        raise ImageError(f"an image that is cut short: {error}") from error
    raise ImageError(f"an image that begins with {data[:4]!r}: allowed are PNG, JPEG and WebP")


@functools.cache  # to look up a version takes a millisecond
def _xmp(source_type: SourceType) -> bytes:
    return XMP.format(version=version("toffee-pipeline"), source_type=VOCABULARY + source_type).encode()


def _png(data: bytes, xmp: bytes) -> bytes:
    """An iTXt chunk behind the header: keyword, not compressed, no language, no translated keyword."""
    body = b"iTXt" + b"XML:com.adobe.xmp\0" + b"\0\0" + b"\0" + b"\0" + xmp
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:PNG_FIRST_CHUNK_ENDS] + chunk + data[PNG_FIRST_CHUNK_ENDS:]


def _jpeg(data: bytes, xmp: bytes) -> bytes:
    """An APP1 segment behind the JFIF header, which must stay the first where there is one."""
    start = 2
    if data[start : start + 2] == JFIF:
        start += 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]
    body = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    return data[:start] + APP1 + struct.pack(">H", len(body) + 2) + body + data[start:]


def _webp(data: bytes, xmp: bytes) -> bytes:
    """An XMP chunk at the end, and the extended header (VP8X) that announces it."""
    chunks = data[12:]
    if chunks[:4] == b"VP8X":
        header, chunks = bytearray(chunks[:18]), chunks[18:]
        header[8] |= VP8X_XMP
    else:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            flags = VP8X_XMP | (VP8X_ALPHA if image.mode == "RGBA" else 0)
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        header = bytearray(b"VP8X" + struct.pack("<II", 10, flags) + sides)
    chunk = b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2)
    body = b"WEBP" + bytes(header) + chunks + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body
