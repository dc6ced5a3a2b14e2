"""The columns of a run's rows: what every table of a shard shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.filters import REASONS, Score

SCHEMA_VERSION = 8
ROW_GROUP_BYTES = 256 * 2**20
"""Viewers that show a page of rows read its row group whole; that of the Hugging Face hub gives up at 300 MB."""
Status = Literal["ok", "accepted", "rejected", "failed"]
"""`ok` while a pair, or a subject of a bank, is on its way; each that is planned ends as one of the other three."""
WORDS: Mapping[str, tuple[str, ...]] = {"status": get_args(Status)[1:], "reason": tuple(REASONS)}
"""Of every table's columns of words of ours: what may stand there."""
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
DTYPES = {pa.string(): "string", pa.float32(): "float32", pa.int64(): "int64", pa.bool_(): "bool"}
"""What `datasets` calls them."""
SUBJECT_PHASH = pa.field("subject_phash", pa.string())
"""The perceptual hash of the subject's image in 16 hex digits, which `imagehash.hex_to_hash` reads: who looks for alike
subjects needs no images. Null where there is none."""


@dataclass(frozen=True)
class Table:
    """The columns of a run's rows: pairs, the subjects of a bank, or the pictures of an evaluation.

    row: what a row is, in a word. data: one row per accepted row (or per rejected one, in the folder of those).
    files: what the rows of a file of `data` are, in a word: several where a shard writes a file for each kind.
    ledger: one row for every planned one, without images. images: the columns of `data` that are images.
    needed: those that an accepted row has, by the row's kind ("" without one).
    row_group_size: rows of `data` that a reader must read together, at most.
    words: as `WORDS`, of this table alone.
    """

    row: str
    files: tuple[str, ...]
    data: pa.Schema
    ledger: pa.Schema
    images: tuple[str, ...]
    needed: Mapping[str, frozenset[str]]
    scores: tuple[Score, ...]
    stages: tuple[str, ...]
    row_group_size: int
    words: Mapping[str, tuple[str, ...]]

    @property
    def id(self) -> str:
        """The column that names a row."""
        return f"{self.row}_id"

    def file_of(self, row: Mapping[str, Any]) -> str:
        """Which of `files` an accepted row lies in."""
        return self.files[0] if len(self.files) == 1 else str(row["kind"])

    def check(self, rows: pa.Table) -> None:
        """Raises pa.ArrowInvalid where a column of its rows, or of some columns of them, says what no run writes."""
        for field in rows.schema:
            if not field.nullable and rows[field.name].null_count:
                raise pa.ArrowInvalid(f"a row without {field.name}")
        for column, words in {**WORDS, **self.words}.items():
            if column in rows.column_names:
                known = pc.is_in(rows[column], pa.array([*words, None], pa.string()))
                if not pc.all(known, min_count=0).as_py():
                    unknown = rows[column].filter(pc.invert(known))[0].as_py()
                    raise pa.ArrowInvalid(f"unknown {column} {unknown[:100]!r}")
        if {"status", "reason"} <= {*rows.column_names}:
            rejected = pc.equal(rows["status"], "rejected")
            if not pc.all(pc.equal(rejected, pc.is_valid(rows["reason"])), min_count=0).as_py():
                raise pa.ArrowInvalid("a row that is rejected without a reason, or not rejected and with one")


def with_image_features(fields: list[pa.Field]) -> pa.Schema:
    """The schema with the metadata that makes `datasets` decode the image columns."""
    features = {field.name: _feature(field.type) for field in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": DTYPES[kind], "_type": "Value"}
