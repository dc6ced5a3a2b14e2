"""Pairs as planned, and the tables of a run of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import pyarrow as pa

from toffee_pipeline.config.base import CATEGORIES, Category, EditRegion, Kind, Seed
from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.filters import GATES, SCORES
from toffee_pipeline.schema.subjects import Subject
from toffee_pipeline.schema.table import IMAGE, SUBJECT_PHASH, Table, with_image_features

REGIONS: dict[Category, EditRegion] = {
    "style": "everywhere",
    "background": "background",
    "color": "subject",
    "texture": "subject",
    "addition": "around",
    "removal": "subject",
}
"""What an edit of each category may change, but for a removal whose part is found. Of a style the whole picture: a
subject in another style than its place shows neither, and misses its prompt; of an addition, which may stand on top of
the subject or beside it, no part of the subject."""


@dataclass(frozen=True)
class Pair:
    """A planned pair.

    category: which kind of change. change: what the prompt changes ("on a beach", "red").
    prompt: what a user of the dataset reads, and CLIP scores. draft_prompt: what the draft is drawn from; it also says
        what stays.
    reversed_from: id of the addition pair of the same subject that this removal pair turns round.
    instruction: the change as an order ("add a party hat"). input_prompt: a true caption of the input image. Both are
        for users of the dataset; no model reads them here.
    edit_region: what an edit may change where it is not what `REGIONS` says of the category; of a removal that turns
        an addition round, that one's.
    source: of a pair that was given, all that its set says of it, as JSON.
    """

    pair_id: str
    subject_id: str
    kind: Kind
    category: Category
    change: str
    prompt: str
    draft_prompt: str
    seed: Seed
    reversed_from: str | None = None
    instruction: str = ""
    input_prompt: str = ""
    edit_region: EditRegion | None = None
    source: str | None = None

    @property
    def region(self) -> EditRegion:
        """What an edit may change."""
        return self.edit_region or REGIONS[self.category]

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
        "edit_region": pair.edit_region,
        "source_path": subject.path,
        "source": pair.source,
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
        edit_region=row["edit_region"],
        source=row["source"],
    )
    return pair, subject


_ALL_SCORES = (*GATES.values(), *SCORES)
_SCORES = [pa.field(score.column, pa.float32()) for score in _ALL_SCORES]
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
    pa.field("edit_region", pa.string()),
    pa.field("source_path", pa.string()),
    pa.field("source", pa.string()),
]
IMAGE_COLUMNS = ("input_image", "target_image", "mask", "depth", "subject_image", "draft_image")
"""input and target are the training pair; mask is the editing mask of edit pairs and the subject's of generation
pairs; depth is the subject's inverse depth (16 bit); subject_image and draft_image show how the target came about."""
FILE_NAME_COLUMNS = {
    name: "file_name" if name == "target_image" else f"{name.removesuffix('_image')}_file_name"
    for name in IMAGE_COLUMNS
}
"""Of a pair in an imagefolder: the columns that name the files of its images. Readers call them image (the target),
input, mask, depth, subject and draft."""

PAIRS = Table(
    "pair",
    files=("generation", "edit"),
    data=with_image_features(
        [
            *(pa.field(name, IMAGE) for name in IMAGE_COLUMNS),
            *_PLANNED,
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            *_SCORES,
            SUBJECT_PHASH,
        ]
    ),
    ledger=pa.schema(
        [
            *_PLANNED,
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("error", pa.string()),
            *_SCORES,
            SUBJECT_PHASH,
            pa.field("stage_s", pa.struct([pa.field(stage, pa.float32()) for stage in MODEL_STAGES])),
        ]
    ),
    images=IMAGE_COLUMNS,
    needed={
        "generation": frozenset({"input_image", "target_image"}),
        "edit": frozenset({"input_image", "target_image", "mask"}),
    },
    scores=_ALL_SCORES,
    stages=MODEL_STAGES,
    row_group_size=100,
    words={"kind": get_args(Kind), "category": CATEGORIES, "edit_region": get_args(EditRegion)},
)
"""stage_s: seconds per stage, a subject's share split over its pairs."""
