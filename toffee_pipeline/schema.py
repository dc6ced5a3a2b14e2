"""What a run is made of: subjects and pairs as planned, their statuses, and the tables of a shard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from toffee_pipeline.config.base import Category, Kind
from toffee_pipeline.config.evaluate import EVALUATION_STAGES
from toffee_pipeline.config.stages import BANK_STAGES, MODEL_STAGES
from toffee_pipeline.filters import GATES, PICTURE_SCORES, SCORES, SUBJECT_SCORES, Score

SCHEMA_VERSION = 5
ROW_GROUP_BYTES = 256 * 2**20
"""Viewers that show a page of rows read its row group whole; that of the Hugging Face hub gives up at 300 MB."""
Status = Literal["ok", "accepted", "rejected", "failed"]
"""`ok` while a pair, or a subject of a bank, is on its way; each that is planned ends as one of the other three."""


@dataclass(frozen=True)
class Subject:
    """A planned subject. seed: below 2**63. path: of subjects.source=folder the file, below the folder; of
    subjects.source=bank the subject's id there."""

    subject_id: str
    class_name: str
    prompt: str
    seed: int
    path: str | None = None


@dataclass(frozen=True)
class Pair:
    """A planned pair.

    category: which kind of change. change: what the prompt changes ("on a beach", "red").
    prompt: what a user of the dataset reads, and CLIP scores. draft_prompt: what the draft is drawn from; it also says
        what stays.
    reversed_from: id of the addition pair of the same subject that this removal pair turns round.
    instruction: the change as an order ("add a party hat"). input_prompt: a true caption of the input image. Both are
        for users of the dataset; no model reads them here.
    """

    pair_id: str
    subject_id: str
    kind: Kind
    category: Category
    change: str
    prompt: str
    draft_prompt: str
    seed: int
    reversed_from: str | None = None
    instruction: str = ""
    input_prompt: str = ""

    @property
    def edited(self) -> Category | None:
        """The category of an edit pair; None for a generation pair."""
        return self.category if self.kind == "edit" else None


def planned_row(pair: Pair, subject: Subject) -> dict[str, Any]:
    """The columns that the plan alone decides, the same in data and ledger."""
    return {
        "pair_id": pair.pair_id,
        "subject_id": pair.subject_id,
        "kind": pair.kind,
        "category": pair.category,
        "class_name": subject.class_name,
        "subject_prompt": subject.prompt,
        "prompt": pair.prompt,
        "draft_prompt": pair.draft_prompt,
        "instruction": pair.instruction,
        "input_prompt": pair.input_prompt,
        "change": pair.change,
        "subject_seed": subject.seed,
        "pair_seed": pair.seed,
        "reversed_from": pair.reversed_from,
        "source_path": subject.path,
    }


def planned_from(row: Mapping[str, Any]) -> tuple[Pair, Subject]:
    """The inverse of `planned_row`."""
    subject = Subject(
        row["subject_id"], row["class_name"], row["subject_prompt"], row["subject_seed"], row["source_path"]
    )
    pair = Pair(
        pair_id=row["pair_id"],
        subject_id=row["subject_id"],
        kind=row["kind"],
        category=row["category"],
        change=row["change"],
        prompt=row["prompt"],
        draft_prompt=row["draft_prompt"],
        seed=row["pair_seed"],
        reversed_from=row["reversed_from"],
        instruction=row["instruction"],
        input_prompt=row["input_prompt"],
    )
    return pair, subject


_ALL_SCORES = (*GATES.values(), *SCORES)
_SCORES = [pa.field(score.column, pa.float32()) for score in _ALL_SCORES]
_SUBJECT_PHASH = pa.field("subject_phash", pa.string())
"""The perceptual hash of the subject's image in 16 hex digits, which `imagehash.hex_to_hash` reads: who looks for alike
subjects needs no images. Null where there is none."""
_PLANNED = [
    pa.field("pair_id", pa.string(), nullable=False),
    pa.field("subject_id", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("category", pa.string(), nullable=False),
    pa.field("class_name", pa.string(), nullable=False),
    pa.field("subject_prompt", pa.string(), nullable=False),
    pa.field("prompt", pa.string(), nullable=False),
    pa.field("draft_prompt", pa.string(), nullable=False),
    pa.field("instruction", pa.string(), nullable=False),
    pa.field("input_prompt", pa.string(), nullable=False),
    pa.field("change", pa.string(), nullable=False),
    pa.field("subject_seed", pa.int64(), nullable=False),
    pa.field("pair_seed", pa.int64(), nullable=False),
    pa.field("reversed_from", pa.string()),
    pa.field("source_path", pa.string()),
]
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
IMAGE_COLUMNS = ("input_image", "target_image", "mask", "depth", "subject_image", "draft_image")
"""input and target are the training pair; mask is the editing mask of edit pairs and the subject's of generation
pairs; depth is the subject's inverse depth (16 bit); subject_image and draft_image show how the target came about."""
FILE_NAME_COLUMNS = {
    name: "file_name" if name == "target_image" else f"{name.removesuffix('_image')}_file_name"
    for name in IMAGE_COLUMNS
}
"""Of a pair in an imagefolder: the columns that name the files of its images. Readers call them image (the target),
input, mask, depth, subject and draft."""

LEDGER = pa.schema(
    [
        *_PLANNED,
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("error", pa.string()),
        *_SCORES,
        _SUBJECT_PHASH,
        pa.field("stage_s", pa.struct([pa.field(stage, pa.float32()) for stage in MODEL_STAGES])),
    ]
)
"""One row for every planned pair. stage_s: seconds per stage, a subject's share split over its pairs."""


def with_image_features(fields: list[pa.Field]) -> pa.Schema:
    """The schema with the metadata that makes `datasets` decode the image columns."""
    features = {field.name: _feature(field.type) for field in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    names = {pa.string(): "string", pa.float32(): "float32", pa.int64(): "int64", pa.bool_(): "bool"}
    return {"dtype": names[kind], "_type": "Value"}


DATA = with_image_features(
    [
        *(pa.field(name, _IMAGE) for name in IMAGE_COLUMNS),
        *_PLANNED,
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        *_SCORES,
        _SUBJECT_PHASH,
    ]
)
"""One row per accepted pair (or per rejected pair, in the folder of those)."""


@dataclass(frozen=True)
class Table:
    """The columns of a run's rows: pairs, the subjects of a bank, or the pictures of an evaluation.

    row: what a row is, in a word. data: one row per accepted row (or per rejected one, in the folder of those).
    files: what the rows of a file of `data` are, in a word: several where a shard writes a file for each kind.
    ledger: one row for every planned one, without images. images: the columns of `data` that are images.
    needed: those that an accepted row has, by the row's kind ("" without one).
    row_group_size: rows of `data` that a reader must read together, at most.
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

    @property
    def id(self) -> str:
        """The column that names a row."""
        return f"{self.row}_id"

    def file_of(self, row: Mapping[str, Any]) -> str:
        """Which of `files` an accepted row lies in."""
        return self.files[0] if len(self.files) == 1 else str(row["kind"])


PAIRS = Table(
    "pair",
    ("generation", "edit"),
    DATA,
    LEDGER,
    IMAGE_COLUMNS,
    {
        "generation": frozenset({"input_image", "target_image"}),
        "edit": frozenset({"input_image", "target_image", "mask"}),
    },
    _ALL_SCORES,
    MODEL_STAGES,
    row_group_size=100,
)


def subject_row(subject: Subject) -> dict[str, Any]:
    """As `planned_row`, of a bank."""
    return {
        "subject_id": subject.subject_id,
        "class_name": subject.class_name,
        "prompt": subject.prompt,
        "seed": subject.seed,
        "source_path": subject.path,
    }


_SUBJECT = [
    pa.field("subject_id", pa.string(), nullable=False),
    pa.field("class_name", pa.string(), nullable=False),
    pa.field("prompt", pa.string(), nullable=False),
    pa.field("seed", pa.int64(), nullable=False),
    pa.field("source_path", pa.string()),
]
_SUBJECT_VERDICT = [
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    *(pa.field(score.column, pa.float32()) for score in SUBJECT_SCORES),
    _SUBJECT_PHASH,
]
_SUBJECT_IMAGES = ("image", "mask", "depth")

SUBJECTS = Table(
    "subject",
    ("subject",),
    with_image_features([*(pa.field(name, _IMAGE) for name in _SUBJECT_IMAGES), *_SUBJECT, *_SUBJECT_VERDICT]),
    pa.schema(
        [
            *_SUBJECT,
            *_SUBJECT_VERDICT,
            pa.field("error", pa.string()),
            pa.field("stage_s", pa.struct([pa.field(stage, pa.float32()) for stage in BANK_STAGES])),
        ]
    ),
    _SUBJECT_IMAGES,
    {"": frozenset(_SUBJECT_IMAGES)},
    SUBJECT_SCORES,
    BANK_STAGES,
    row_group_size=1,
)
"""Its images are lossless: uint8 RGB, the mask, inverse depth of 16 bit. A row is read without its neighbours."""


@dataclass(frozen=True)
class Picture:
    """A picture of an evaluation, as planned.

    picture_id: SUBJECT/real_NUMBER, or SUBJECT/PROMPT_SAMPLE. kind: "real", or "drawn" by a model.
    sample: of a real one its number, and number 0 is the input image; of a drawn one that of its prompt.
    source: of a real one its name in the benchmark; of a drawn one its path in a folder of pictures, without suffix.
    prompt_number, prompt, category, seed: of a drawn one.
    """

    picture_id: str
    subject_id: str
    class_name: str
    subject_group: str
    kind: Literal["real", "drawn"]
    sample: int
    source: str
    prompt_number: int | None = None
    prompt: str | None = None
    category: str | None = None
    seed: int | None = None


def picture_row(picture: Picture) -> dict[str, Any]:
    """As `planned_row`, of an evaluation."""
    return asdict(picture)


_PICTURE = [
    pa.field("picture_id", pa.string(), nullable=False),
    pa.field("subject_id", pa.string(), nullable=False),
    pa.field("class_name", pa.string(), nullable=False),
    pa.field("subject_group", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("sample", pa.int64(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("prompt_number", pa.int64()),
    pa.field("prompt", pa.string()),
    pa.field("category", pa.string()),
    pa.field("seed", pa.int64()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    *(pa.field(score.column, pa.float32()) for score in PICTURE_SCORES),
]

PICTURES = Table(
    "picture",
    ("picture",),
    with_image_features([pa.field("image", _IMAGE), *_PICTURE]),
    pa.schema(
        [
            *_PICTURE,
            pa.field("error", pa.string()),
            pa.field("stage_s", pa.struct([pa.field(stage, pa.float32()) for stage in EVALUATION_STAGES])),
        ]
    ),
    ("image",),
    dict.fromkeys(("real", "drawn"), frozenset({"image"})),
    PICTURE_SCORES,
    EVALUATION_STAGES,
    row_group_size=100,
)
"""Of an evaluation. Status: "accepted" is a picture that is scored."""
