"""Pictures of an evaluation as planned, and their tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from toffee_pipeline.config.evaluate import EVALUATION_STAGES
from toffee_pipeline.filters import PICTURE_SCORES
from toffee_pipeline.schema.table import IMAGE, Table, with_image_features


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
    """The columns that the plan alone decides."""
    return asdict(picture)


_COLUMNS = [
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
    files=("picture",),
    data=with_image_features([pa.field("image", IMAGE), *_COLUMNS]),
    ledger=pa.schema(
        [
            *_COLUMNS,
            pa.field("error", pa.string()),
            pa.field("stage_s", pa.struct([pa.field(stage, pa.float32()) for stage in EVALUATION_STAGES])),
        ]
    ),
    images=("image",),
    needed=dict.fromkeys(("real", "drawn"), frozenset({"image"})),
    scores=PICTURE_SCORES,
    stages=EVALUATION_STAGES,
    row_group_size=100,
    words={"kind": ("real", "drawn")},
)
"""Status: "accepted" is a picture that is scored."""
