"""Pairs of WebDataset tars: both images and the texts of a pair are files of one sample, which follow each other."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from pydantic import TypeAdapter

from toffee_pipeline.config.refine_pairs import WebDatasetPairs
from toffee_pipeline.errors import ImageError, MissingKey, PlanError
from toffee_pipeline.images import MAX_BYTES, decode
from toffee_pipeline.pairsets.given import Count, broken_pair, images_of, pair_of, read_place
from toffee_pipeline.pairsets.listing import BUFFER_BYTES, visible
from toffee_pipeline.pairsets.tar import BrokenTar, Member, members_of
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.plan.refinement import GivenPair, LazyImages
from toffee_pipeline.storage import Storage

SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".webp")
MAX_TEXT_BYTES = 1024 * 1024
Part = tuple[Count, Count]
PLACE = TypeAdapter(tuple[str, tuple[Part, Part]])
"""Of a pair: its tar, and where each image begins in that, and its size."""


class WebDataset:
    """A pair for each sample, tar by tar. What follows a damage in a tar is one broken pair of the tar's name."""

    def __init__(self, source: WebDatasetPairs, storage: Storage) -> None:
        self._source, self._columns, self._storage = source, source.columns, storage

    def files(self, key: str) -> bool:
        return key.endswith(".tar")

    def pairs(self) -> Iterator[GivenPair]:
        found = [(key, size) for key, size in visible(self._storage) if self.files(key)]
        if not found:
            raise PlanError(f"source.path: {self._storage.uri}: no *.tar there; format=webdataset is a folder of tars")
        for key, num_bytes in found:
            with self._storage.open(key) as raw:
                file = io.BufferedReader(raw, BUFFER_BYTES)  # type: ignore[type-var]
                yield from self._of_tar(file, key, num_bytes)

    def images(self, places: Sequence[str]) -> list[LazyImages]:
        loads = (read_place(PLACE, place) for place in places)
        return [images_of(self._columns, *(partial(self._load, key, *part) for part in parts)) for key, parts in loads]

    def _of_tar(self, file: BinaryIO, key: str, num_bytes: int) -> Iterator[GivenPair]:
        sample: list[Member] = []
        try:
            for member in members_of(file, num_bytes):
                if sample and member.sample != sample[0].sample:
                    yield self._pair(file, key, sample)
                    sample = []
                sample.append(member)
        except BrokenTar as error:
            if sample and sample[0].sample != error.sample:  # that one is whole
                yield self._pair(file, key, sample)
            yield broken_pair(self._source, key, str(error))
            return
        if sample:
            yield self._pair(file, key, sample)

    def _pair(self, file: BinaryIO, key: str, sample: Sequence[Member]) -> GivenPair:
        files, name = {member.extension: member for member in sample}, f"{key}: {one_line(sample[0].sample)}"
        try:
            row = _row(file, files)
        except (ValueError, RecursionError) as error:
            return broken_pair(self._source, name, str(error))
        parts = []
        for column in (self._columns.input, self._columns.edited):
            image = next((files[column + suffix] for suffix in SUFFIXES if column + suffix in files), None)
            if image is None:
                return broken_pair(self._source, name, f"no file {column}; there are {', '.join(files)}", row)
            parts.append([image.data, image.size])
        return pair_of(self._source, self._columns, row, name, [key, parts])

    def _load(self, key: str, start: int, size: int) -> np.ndarray:
        name = f"{key}: bytes {start} to {start + size}"
        try:
            with self._storage.open(key) as file:
                file.seek(start)
                return decode(file.read(min(size, MAX_BYTES + 1)), name)  # one more than allowed, so that it is refused
        except MissingKey as error:
            raise ImageError(f"{name}: no such file") from error


def _row(file: BinaryIO, files: dict[str, Member]) -> dict[str, Any]:
    """What a sample's `.json` says, and the texts beside it. Raises ValueError."""
    row: dict[str, Any] = {}
    if "json" in files:
        row = json.loads(_text(file, files["json"]))
        if not isinstance(row, dict):
            raise ValueError("its .json is no object")
    texts = {name.removesuffix(".txt"): files[name] for name in files if name == "txt" or name.endswith(".txt")}
    return {**{name: _text(file, member) for name, member in texts.items()}, **row}


def _text(file: BinaryIO, member: Member) -> str:
    if member.size > MAX_TEXT_BYTES:
        raise ValueError(f"{member.size} bytes of text are too many; allowed are {MAX_TEXT_BYTES}")
    file.seek(member.data)
    return file.read(member.size).decode("utf-8")
