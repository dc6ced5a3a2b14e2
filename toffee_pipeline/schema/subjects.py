"""Subjects as planned, and the tables of a subject bank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from toffee_pipeline.config.base import Seed
from toffee_pipeline.config.stages import BANK_STAGES
from toffee_pipeline.filters import SUBJECT_SCORES
from toffee_pipeline.schema.table import IMAGE, SUBJECT_PHASH, Table, with_image_features


@dataclass(frozen=True)
class Subject:
    """A planned subject. path: of subjects.source=folder the file, below the folder; of subjects.source=bank the same
    where the bank was made of a folder, else the subject's id there; of a pair that was given, where it lies."""

    subject_id: str
    class_name: str
    prompt: str
    seed: Seed
    path: str | None = None


def subject_row(subject: Subject) -> dict[str, Any]:
    """The columns of a subject bank that the plan alone decides."""
    return {
        "subject_id": subject.subject_id,
        "class_name": subject.class_name,
        "prompt": subject.prompt,
        "seed": subject.seed,
        "source_path": subject.path,
    }


_PLANNED = [
    pa.field("subject_id", pa.string(), nullable=False),
    pa.field("class_name", pa.string(), nullable=False),
    pa.field("prompt", pa.string(), nullable=False),
    pa.field("seed", pa.int64(), nullable=False),
    pa.field("source_path", pa.string()),
]
_VERDICT = [
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    *(pa.field(score.column, pa.float32()) for score in SUBJECT_SCORES),
    SUBJECT_PHASH,
]
_IMAGES = ("image", "mask", "depth")

SUBJECTS = Table(
    "subject",
    files=("subject",),
    data=with_image_features([*(pa.field(name, IMAGE) for name in _IMAGES), *_PLANNED, *_VERDICT]),
    ledger=pa.schema(
        [
            *_PLANNED,
            *_VERDICT,
            pa.field("error", pa.string()),
            pa.field("stage_s", pa.struct([pa.field(stage, pa.float32()) for stage in BANK_STAGES])),
        ]
    ),
    images=_IMAGES,
    needed={"": frozenset(_IMAGES)},
    scores=SUBJECT_SCORES,
    stages=BANK_STAGES,
    row_group_size=1,
    words={},
)
"""Its images are lossless: uint8 RGB, the mask, inverse depth of 16 bit. A row is read without its neighbours."""
