"""Parquet as the Hugging Face hub shows it: small row groups with an index. And Subjects200K's columns in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from toffee_pipeline.errors import DamagedFile, ImageError
from toffee_pipeline.export.formats.base import Format, Writer, images_of
from toffee_pipeline.export.mark import mark
from toffee_pipeline.export.rows import SCHEMA, Row
from toffee_pipeline.images import decode, encode
from toffee_pipeline.rundir.parquet import RowGroups
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.table import with_image_features

QUALITY = 95
"""Of a Subjects200K image whose parts are lossy."""
HALVES = ("input_image", "target_image")
_SCORES = ("compositeStructure", "objectConsistency", "imageQuality")
_IMAGE = SCHEMA.field("input_image").type
SUBJECTS200K = with_image_features(
    [
        pa.field("image", _IMAGE),
        pa.field("collection", pa.string()),
        pa.field("quality_assessment", pa.struct([pa.field(name, pa.int64()) for name in _SCORES])),
        pa.field(
            "description",
            pa.struct(
                [
                    *(pa.field(name, pa.string()) for name in ("item", "description_0", "description_1", "category")),
                    pa.field("description_valid", pa.bool_()),
                ]
            ),
        ),
        *(SCHEMA.field(name) for name in ("pair_id", "subject_id", "license", "made_by", "plan_hash", "models")),
    ]
)


class ParquetWriter(Writer):
    """A row group in memory at a time: at most 100 rows, and fewer where their images are large."""

    def __init__(self, path: Path, schema: pa.Schema, row_of: Callable[[Row], Row]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema, self._row_of = schema, row_of
        self._file = RowGroups(path, schema, PAIRS.row_group_size)

    def write(self, row: Row) -> None:
        self._file.write(pa.Table.from_pylist([self._row_of(row)], schema=self._schema))

    def close(self) -> list[str]:
        self._file.close()
        return []


class HuggingFace(Format):
    """All columns of a run, and those for licence and provenance."""

    schema = SCHEMA
    tail = ".parquet"

    def open(self, folder: Path, split: str, kind: str, number: int, max_pixels: int) -> Writer:
        return ParquetWriter(folder / f"{self.stem(split, kind, number)}.parquet", SCHEMA, lambda row: row)


class Subjects200K(Format):
    """Generation pairs as OminiControl's training reads them (`Subject200KDataset` with `padding=0`)."""

    kinds = ("generation",)
    images = HALVES
    schema = SUBJECTS200K
    tail = ".parquet"

    def open(self, folder: Path, split: str, kind: str, number: int, max_pixels: int) -> Writer:
        row_of = partial(side_by_side, max_pixels=max_pixels)
        return ParquetWriter(folder / f"{self.stem(split, kind, number)}.parquet", SUBJECTS200K, row_of)


def side_by_side(row: Row, max_pixels: int) -> Row:
    """Input and target of a pair, of so many pixels at most, in one image, with the captions of both halves.

    Its quality scores are those that OminiControl's filter lets pass: the pair has passed this run's own. Raises
    DamagedFile.
    """
    known = {column: (suffix, data) for column, suffix, data in images_of(row)}
    try:
        halves = [decode(known[column][1], f"{row['pair_id']} {column}", max_pixels) for column in HALVES]
    except ImageError as error:
        raise DamagedFile(str(error)) from error
    image = np.concatenate(halves, axis=1)
    lossless = known["target_image"][0] == "png"
    data = encode(image, "png") if lossless else encode(image, "jpeg", QUALITY)
    made: dict[str, Any] = {
        "image": {"bytes": mark(data, "trainedAlgorithmicMedia"), "path": None},
        "collection": "toffee",
        "quality_assessment": dict.fromkeys(_SCORES, 5),
        "description": {
            "item": row["class_name"],
            "description_0": row["input_prompt"],
            "description_1": row["prompt"],
            "category": row["category"],
            "description_valid": True,
        },
    }
    return {**made, **{name: row[name] for name in SUBJECTS200K.names if name not in made}}
