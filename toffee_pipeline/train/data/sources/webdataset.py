"""Captioned images in tar shards: the WebDataset convention, as img2dataset writes CC3M."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from functools import partial

import numpy as np

from toffee_pipeline.config.train import WebDatasetSource
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.images import MAX_BYTES, decode
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.records import Record

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
MAX_TEXT_BYTES = 1024 * 1024
MEMBER = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)
"""A sample's name, up to the first dot of the file name, and the extension; hidden files belong to no sample."""
END_MARK_BYTES = 512

Members = dict[str, memoryview]


class WebDataset:
    """All `*.tar` below a folder or prefix, not compressed.

    Files whose names agree up to the first dot are one sample: an image of IMAGE_EXTENSIONS (the first of them, where
    there are several) and its caption, from `.txt` or else from `caption` or `text` of `.json`; none is "". Other
    extensions, folders and links are left out. Where a file comes twice, the last one counts, as with tar itself.

    A sample whose `.json` has another `status` than "success" and that has no image was never downloaded: it is left
    out. Any other sample without an image, or with a caption that cannot be read, is a broken one: its image raises
    ImageError. Records share the memory of their tar, which lies there as long as one of them does.
    """

    def __init__(self, config: WebDatasetSource) -> None:
        self._storage = open_storage(config.path, config.endpoint_url)

    def files(self) -> list[str]:
        """Keys of the shards, sorted."""
        shards = [key for key, _ in self._storage.list() if key.endswith(".tar")]
        if not shards:
            raise DataError(f"{self._storage.uri}: no *.tar there; format=webdataset is a folder of tar shards")
        return shards

    def read(self, file: str) -> Iterator[Record]:
        """The samples in the order of the tar; images: "image". A sample that a broken tar cuts off is not given."""
        samples, problem = samples_of(self._storage.get(file))
        for name, members in samples.items():
            record = _record(name if name.isprintable() else ascii(name), members, file)
            if record is not None:
                yield record
        if problem is not None:
            raise BrokenFile(f"{self._storage.path_for(file)}: {problem}")


def samples_of(data: bytes) -> tuple[dict[str, Members], str | None]:
    """The samples of a tar, and what is wrong behind the last of them (None: nothing)."""
    samples: dict[str, Members] = {}
    last, position, view = "", 0, memoryview(data)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            while (member := tar.next()) is not None:
                plain = member.isreg() and not member.issparse()
                name = MEMBER.fullmatch(member.name) if plain else None
                if name is not None:
                    last = name[1]
                if tar.offset > len(data):
                    raise tarfile.ReadError(f"truncated inside of {member.name!r}")
                if tar.offset <= position:  # a negative size would lead tarfile round in circles
                    raise tarfile.ReadError(f"damaged header at byte {position}")
                position = tar.offset
                if name is not None:
                    start = member.offset_data
                    samples.setdefault(last, {})[name[2].lower()] = view[start : start + member.size]
            # tarfile takes damaged headers, and zeros in the middle, for the end
            if len(view) - tar.offset < END_MARK_BYTES or data[tar.offset :].strip(b"\0"):
                raise tarfile.ReadError(f"byte {tar.offset} is neither a tar header nor the end: truncated or damaged")
    except (tarfile.TarError, ArithmeticError, LookupError, RecursionError, ValueError) as error:
        samples.pop(last, None)  # for damaged headers tarfile raises all of these
        return samples, f"not a sound tar: {' '.join(str(error).split())}"
    return samples, None


def _record(key: str, members: Members, file: str) -> Record | None:
    """None for a sample that was never downloaded."""
    data = next((members[extension] for extension in IMAGE_EXTENSIONS if extension in members), None)
    try:
        metadata = _metadata(members) if data is None or "txt" not in members else {}
        if data is None and metadata.get("status", "success") != "success":
            return None
        text = _text(members["txt"]) if "txt" in members else metadata.get("caption") or metadata.get("text") or ""
        if not isinstance(text, str):
            raise ValueError(f"its caption is {type(text).__name__}, not a string")
        if data is None:
            raise ValueError(f"no image; allowed are {', '.join(IMAGE_EXTENSIONS)}")
    except ValueError as error:
        return Record(key, {"image": partial(_fail, f"{file}: {key}: {error}")})
    return Record(key, {"image": partial(_decode, data, f"{file}: {key}")}, text.strip())


def _metadata(members: Members) -> dict[str, object]:
    if "json" not in members:
        return {}
    try:
        metadata = json.loads(_text(members["json"]))
    except RecursionError as error:
        raise ValueError("its .json is nested too deep") from error
    if not isinstance(metadata, dict):
        raise ValueError("its .json is not an object")
    return metadata


def _text(data: memoryview) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise ValueError(f"{len(data)} bytes of text are too many; allowed are {MAX_TEXT_BYTES}")
    return str(data, "utf-8")


def _decode(data: memoryview, name: str) -> np.ndarray:
    return decode(bytes(data[: MAX_BYTES + 1]), name)  # one more than allowed, so that `decode` refuses it


def _fail(message: str) -> np.ndarray:
    raise ImageError(message)
