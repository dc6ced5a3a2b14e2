"""One HTML page that shows an evaluation to a stranger: the self-test first, then what was measured, and how."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from toffee_pipeline.evaluation.figures import Row
from toffee_pipeline.evaluation.published import SOURCE, TABLE_1
from toffee_pipeline.evaluation.result import Evaluation
from toffee_pipeline.evaluation.said import LABELS, comparable, drawn_by, facts, same_dino, verdict
from toffee_pipeline.images import central_square, decode
from toffee_pipeline.parquet_file import ParquetFile, read_group, sound
from toffee_pipeline.rundir.description import EvaluationRun
from toffee_pipeline.rundir.layout import DATA, REPORT
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES
from toffee_pipeline.templates import load_template

TEMPLATE = Path(__file__).parent / "templates" / "evaluation.html"
TOFFEE = tuple(
    (f"{name}_score", label)
    for name, label in (
        *((f"{metric}_toffee", LABELS[metric]) for metric in LABELS),
        ("clip_t", "CLIP-T"),
        ("copy_paste", "copy-paste"),
    )
)
SINGLE = tuple((column.replace("_toffee", "_single"), label) for column, label in TOFFEE)
MAX_STRIPS, MAX_FAILED, SHOWN_PROMPTS = 6, 20, 6
THUMBNAIL_PX = 128


def write_page(storage: Storage, run: EvaluationRun, found: Evaluation, rows: Sequence[Row]) -> None:
    """rows: of the ledger. The page is one file, and asks for no network and no script."""
    storage.put(REPORT, render(run, found, rows, list(_strips(storage))).encode())


def render(
    run: EvaluationRun, found: Evaluation, rows: Sequence[Row], strips: Sequence[Sequence[tuple[str, str]]]
) -> str:
    """The page as HTML. strips: of each subject shown, its pictures' captions and data URIs."""
    test = found.self_test
    return load_template(TEMPLATE, score=lambda value: f"{value:.3f}").render(
        benchmark=run.config.benchmark.name,
        drawn_by=drawn_by(run.config),
        holds=bool(test.holds),
        verdict=verdict(test),
        self_test=[(LABELS[name], figure, (test.expected or {}).get(name)) for name, figure in test.found.items()],
        drawn=found.drawn,
        toffee=TOFFEE,
        single=SINGLE,
        same_dino=same_dino(run.config),
        source=SOURCE,
        comparable=comparable(run.config, test),
        published=TABLE_1,
        by_category=found.by_category,
        by_group=found.by_group,
        by_prompt=found.by_prompt,
        by_subject=found.by_subject,
        strips=strips,
        failed=[row for row in rows if row["status"] == "failed"][:MAX_FAILED],
        facts=facts(run, found),
        inputs=sorted(found.inputs.items()),
    )


def _strips(storage: Storage) -> Iterator[list[tuple[str, str]]]:
    """The input image and drawn pictures of the first subject of some shards."""
    manifests = list(read_manifests(storage))
    for manifest in manifests[:: max(1, len(manifests) // MAX_STRIPS)][:MAX_STRIPS]:
        for file in manifest.files:
            if file.folder == DATA:
                with sound(storage.path_for(file.key)):
                    rows = _of_first_subject(ParquetFile(storage.map(file.key, MAX_MAPPED_BYTES)))
                yield _strip(rows.to_pylist())


def _of_first_subject(parquet: ParquetFile) -> pa.Table:
    """The first sample of each of its pictures, of a file with a row at least; a row group in memory at a time."""
    found: list[pa.Table] = []
    first = None
    for number in range(parquet.num_row_groups):
        rows = read_group(parquet, number)
        first = rows["subject_id"][0] if first is None else first
        found.append(rows.filter(pc.and_(pc.equal(rows["subject_id"], first), pc.equal(rows["sample"], 0))))
    return pa.concat_tables(found)


def _strip(rows: list[Row]) -> list[tuple[str, str]]:
    drawn = [row for row in rows if row["kind"] == "drawn"]
    shown = drawn[:: max(1, len(drawn) // SHOWN_PROMPTS)][:SHOWN_PROMPTS]
    real = [row for row in rows if row["kind"] == "real"]
    return [(row["prompt"] or f"{row['subject_id']}: input", _data_uri(row["image"]["bytes"])) for row in real + shown]


def _data_uri(data: bytes) -> str:
    image = Image.fromarray(central_square(decode(data)))
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
