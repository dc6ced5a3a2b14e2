"""Tar shards in WebDataset's convention: the files of a sample follow each other and share a name."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toffee_pipeline.export.formats.base import Format, Writer, images_of, texts_of
from toffee_pipeline.export.rows import SCHEMA, Row
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.schema.table import DTYPES


class TarWriter(Writer):
    """Each row is `ID.COLUMN.png` (or .jpg, .webp) for each image, and `ID.json` for all other columns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed in `close`)

    def write(self, row: Row) -> None:
        for column, suffix, data in images_of(row):
            self._add(f"{row['pair_id']}.{column}.{suffix}", data)
        self._add(f"{row['pair_id']}.json", json.dumps(texts_of(row)).encode())

    def close(self) -> list[str]:
        self._tar.close()
        return []

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)  # no time and no owner: the same rows give the same bytes
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))


class WebDataset(Format):
    """A tar holds pairs of one kind, so that all its samples have the same files."""

    tail = ".tar"

    def open(self, folder: Path, split: str, kind: str, number: int, max_pixels: int) -> Writer:
        return TarWriter(folder / f"{self.stem(split, kind, number)}.tar")

    def configs(self, rows: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
        """One for each kind, and none for both: `datasets` goes by the files of the first sample that it sees."""
        return {name: patterns for name, patterns in super().configs(rows).items() if name != "default"}

    def features(self, kind: str, image_format: str) -> list[dict[str, Any]]:
        """`datasets` would guess the types of the JSON by the first rows, and fail at the first text in a column that
        is null in these."""
        suffix = "png" if kind == "edit" else image_format.replace("jpeg", "jpg")
        images = [f"{name}.{'png' if name in ('mask', 'depth') else suffix}" for name in IMAGE_COLUMNS]
        texts = [field for field in SCHEMA if field.name not in IMAGE_COLUMNS]
        return [
            *({"name": name, "dtype": "image"} for name in images),
            {"name": "json", "struct": [{"name": field.name, "dtype": DTYPES[field.type]} for field in texts]},
            *({"name": name, "dtype": "string"} for name in ("__key__", "__url__")),
        ]
