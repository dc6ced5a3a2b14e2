"""The end of an evaluation: from its ledger to figures.json and the report."""

from __future__ import annotations

from importlib.metadata import version

from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.evaluation.figures import Group, Row, SelfTest, group, groups_by, self_test
from toffee_pipeline.evaluation.page import write_page
from toffee_pipeline.evaluation.published import REAL
from toffee_pipeline.evaluation.result import Evaluation
from toffee_pipeline.evaluation.stored import stored_real
from toffee_pipeline.rundir.description import EvaluationRun
from toffee_pipeline.rundir.layout import FIGURES
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.rundir.rows import read_ledger
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.schema.pictures import PICTURES
from toffee_pipeline.storage import Storage

COLUMNS = tuple(score.column for score in PICTURES.scores)
SELF_TEST = {name: f"{name}_toffee_score" for name in REAL}
"""Real against real is the protocol `toffee` of real pictures."""
LIBRARIES = ("torch", "torchvision", "transformers", "open-clip-torch", "segment-anything", "pillow", "numpy")


def conclude(storage: Storage, run: EvaluationRun) -> Evaluation:
    """Writes figures.json and the page of a run whose shards are all committed; returns the figures."""
    rows = ledger(storage)
    real = [row for row in rows if row["kind"] == "real"]
    drawn = [row for row in rows if row["kind"] == "drawn"]
    found = Evaluation(
        self_test=_self_test(run, real),
        real=group("real pictures", real, COLUMNS),
        drawn=group("all", drawn, COLUMNS) if drawn else None,
        by_category=groups_by("category", drawn, COLUMNS),
        by_group=groups_by("subject_group", drawn, COLUMNS),
        by_subject=groups_by("subject_id", drawn, COLUMNS),
        by_prompt=_by_prompt(drawn),
        inputs={row["subject_id"]: row["source"] for row in real if row["sample"] == 0},
        encoders=run.roles,
        libraries={name: version(name) for name in LIBRARIES},
    )
    write(storage, FIGURES, found)
    write_page(storage, run, found, rows)
    return found


def ledger(storage: Storage) -> list[Row]:
    """The rows of all committed shards, by shard number."""
    tables = [read_ledger(storage, manifest, PICTURES) for manifest in read_manifests(storage)]
    return [row for table in tables for row in table.to_pylist()]


def _by_prompt(drawn: list[Row]) -> list[Group]:
    """By number and text with its class taken out: subjects of one list share a prompt."""
    named = [{**row, "prompt": f"{row['prompt_number']:02d} {_template(row)}"} for row in drawn]
    return groups_by("prompt", named, COLUMNS)


def _template(row: Row) -> str:
    return str(row["prompt"]).replace(row["class_name"], "…")


def _self_test(run: EvaluationRun, real: list[Row]) -> SelfTest:
    expected, why = expected_real(run.config)
    off = () if run.config.models.detector is not None else ("seg_dino", "seg_clip_i")
    columns = {name: column for name, column in SELF_TEST.items() if name not in off}
    if expected is not None:
        expected = {name: value for name, value in expected.items() if name in columns}
    return self_test(real, columns, expected, why)


def expected_real(config: EvaluationConfig) -> tuple[dict[str, float] | None, str]:
    """What real against real should give, and where that stands; None with the reason where nothing is known."""
    benchmark = config.benchmark
    if benchmark.max_subjects is not None:
        return None, "a part of the subjects has no published figures"
    if benchmark.name == "dreambench" and config.has_published_encoders:
        return REAL, "published for DreamBench with DINO ViT-S/16 and CLIP ViT-B/32"
    if benchmark.name == "nano":
        return stored_real(config)
    return None, f"no figures are known for {benchmark.name} with these encoders"
