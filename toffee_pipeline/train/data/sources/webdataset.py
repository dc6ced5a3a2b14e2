"""Captioned images in tar shards: the WebDataset convention, as img2dataset writes CC3M."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import numpy as np

from toffee_pipeline.config.train import WebDatasetSource
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.images import MAX_BYTES, decode
from toffee_pipeline.pairsets.tar import Files, samples_of
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.records import Record

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
MAX_TEXT_BYTES = 1024 * 1024


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
        self._storage = open_storage(config.path, config.endpoint_url, follow_links=True)

    def files(self) -> list[str]:
        """Keys of the shards, sorted."""
        shards = [key for key, _ in self._storage.list() if key.endswith(".tar")]
        if not shards:
            raise DataError(f"{self._storage.uri}: no *.tar there; format=webdataset is a folder of tar shards")
        return shards

    def read(self, file: str) -> Iterator[Record]:
        """The samples in the order of the tar; images: "image". A sample that a broken tar cuts off is not given."""
        samples, problem = samples_of(self._storage.map(file))
        for name, files in samples.items():
            record = _record(name if name.isprintable() else ascii(name), files, file)
            if record is not None:
                yield record
        if problem is not None:
            raise BrokenFile(f"{self._storage.path_for(file)}: {problem}")


def _record(key: str, files: Files, file: str) -> Record | None:
    """None for a sample that was never downloaded."""
    data = next((files[extension] for extension in IMAGE_EXTENSIONS if extension in files), None)
    try:
        metadata = _metadata(files) if data is None or "txt" not in files else {}
        if data is None and metadata.get("status", "success") != "success":
            return None
        text = _text(files["txt"]) if "txt" in files else metadata.get("caption") or metadata.get("text") or ""
        if not isinstance(text, str):
            raise ValueError(f"its caption is {type(text).__name__}, not a string")
        if data is None:
            raise ValueError(f"no image; allowed are {', '.join(IMAGE_EXTENSIONS)}")
    except ValueError as error:
        return Record(key, {"image": partial(_fail, f"{file}: {key}: {error}")})
    return Record(key, {"image": partial(_decode, data, f"{file}: {key}")}, text.strip())


def _metadata(files: Files) -> dict[str, object]:
    if "json" not in files:
        return {}
    try:
        metadata = json.loads(_text(files["json"]))
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
