"""What a format is: how rows become files, and what a whole export needs besides them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from toffee_pipeline.export.parts import ExportedPart
from toffee_pipeline.export.rows import Row
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import Storage

SUFFIXES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}
MEDIA_TYPES = {
    "parquet": "application/x-parquet",
    "tar": "application/x-tar",
    "lance": "application/x-lance",
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "c2pa": "application/c2pa",
}


class Writer(ABC):
    """Takes the rows of one part, split and kind, one after the other, and holds few of them."""

    @abstractmethod
    def write(self, row: Row) -> None: ...

    @abstractmethod
    def close(self) -> list[str]:
        """All files are written. Returns what the part's record keeps of them for `finish`."""


class Format(ABC):
    """One way to write rows. Has no state.

    kinds: of pairs that it takes. images: the columns of images that it takes. schema: of the Parquet files that it
    writes; None: it writes others. tail: what follows a part's stem in a pattern for its files. per_image: suffixes of
    which it writes a file for each image: too many to name one by one.
    """

    kinds: tuple[str, ...] = ("generation", "edit")
    images: tuple[str, ...] = IMAGE_COLUMNS
    schema: pa.Schema | None = None
    tail: str
    per_image: tuple[str, ...] = ()

    def check(self) -> None:  # noqa: B027 (most need nothing)
        """Raises ConfigError where a package is missing."""

    def stem(self, split: str, kind: str, number: int) -> str:
        """What the keys of a part's files begin with."""
        return f"{split}/{kind}-{number:05d}"

    @abstractmethod
    def open(self, folder: Path, split: str, kind: str, number: int, max_pixels: int) -> Writer:
        """A writer of files below `folder`, under their keys. The folder is the part's own. max_pixels: of an image of
        the run."""

    def finish(self, target: Storage, parts: Iterable[ExportedPart]) -> None:  # noqa: B027 (most need nothing)
        """What the parts have in common. May be called again."""

    def configs(self, rows: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
        """Config -> split -> pattern, as `datasets.load_dataset` takes them. rows: the kinds of each split that has
        rows."""
        configs = {"default": {split: f"{split}/*{self.tail}" for split in rows}}
        for split, kinds in rows.items():
            for kind in kinds:
                configs.setdefault(kind, {})[split] = f"{split}/{kind}-*{self.tail}"
        return configs

    def features(self, kind: str, image_format: str) -> list[dict[str, Any]] | None:
        """The columns of a config, as the card's YAML declares them; None: the files say them. image_format: of the
        run's lossy pairs."""
        return None


def media_type(name: str) -> str:
    """Of a file that an export writes."""
    return MEDIA_TYPES[name.rpartition(".")[2]]


def images_of(row: Row) -> Iterator[tuple[str, str, bytes]]:
    """Column, file suffix and bytes of each image that a row has."""
    for column in IMAGE_COLUMNS:
        if row.get(column) is not None:
            data = row[column]["bytes"]
            yield column, next(suffix for start, suffix in SUFFIXES.items() if data.startswith(start)), data


def texts_of(row: Row) -> dict[str, Any]:
    """The columns that are no images."""
    return {name: value for name, value in row.items() if name not in IMAGE_COLUMNS}
