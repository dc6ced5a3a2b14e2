"""The trainings and evaluations of the ablations, by the jobs themselves. What is finished is not made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq

from benchmarks.ablations_drafts import write_drafts
from benchmarks.ablations_plan import ASKED, CLIP_T, LAID_OUT, LAYOUT, SEG_CLIP_I, SEG_DINO, Variant
from jobs.generate import generate
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.evaluation.conclude import ledger
from toffee_pipeline.evaluation.setup import prepare
from toffee_pipeline.evaluation.similarity import INPUT
from toffee_pipeline.images import decode
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.protocols import MaskModel
from toffee_pipeline.rundir.layout import DATA
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.schema.subjects import Subject
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.job import run_training

COLUMNS = {SEG_DINO: "seg_dino_toffee_score", SEG_CLIP_I: "seg_clip_i_toffee_score", CLIP_T: "clip_t_score"}
Means = dict[str, dict[str, float]]
"""Metric to subject to the mean over its pictures."""


@dataclass(frozen=True)
class Bench:
    """What all variants share.

    data: runs of jobs/generate.py. steps: of each training. subjects, prompts: the first so many of the benchmark.
    training, evaluation: further settings of the two jobs.
    """

    data: tuple[str, ...]
    work_dir: Path
    steps: int
    device: str
    subjects: int
    prompts: int
    training: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()

    def folder(self, variant: Variant, seed: int) -> Path:
        return self.work_dir / variant.name / f"seed-{seed}"

    def train(self, variant: Variant, seed: int) -> None:
        sources = [self._drafts(run) for run in self.data] if variant.drafts else self.data
        config = load_config(
            "nano",
            (
                "workers.placement=inline",
                f"device={self.device}",
                f"seed={seed}",
                f"train.max_steps={self.steps}",
                f"train.warmup_steps={self.steps // 10}",
                f"data.cache={self.work_dir / 'cache'}",
                f"data.sources={json.dumps([{'format': 'run', 'path': source} for source in sources])}",
                "tracking.num_samples=1",
                *variant.training,
                *self.training,
            ),
            ToffeeNetTraining,
        )
        run_training(config, str(self.folder(variant, seed) / "training"), dry_run=False)

    def _drafts(self, run: str) -> str:
        """The run's unrefined pairs, written once."""
        path = str(Path(run).absolute())
        folder = self.work_dir / "drafts" / hashlib.sha256(path.encode()).hexdigest()[:12]
        if not folder.exists():
            click.echo(f"{run}: {write_drafts(path, folder)} unrefined pairs")
        return str(folder)

    def evaluate(self, variant: Variant, asked: str, seed: int) -> Means:
        """The pictures' scores by subject. Seeds draw other noise, variants the same."""
        of_seed = self.folder(variant, seed)
        output = of_seed / asked.replace(" ", "-")
        config = load_config(
            "nano",
            (
                "placement=inline",
                f"device={self.device}",
                f"seed={seed}",
                f"benchmark.max_subjects={self.subjects}",
                f"benchmark.max_prompts={self.prompts}",
                "images_per_prompt=1",
                *ASKED[asked],
                *self.evaluation,
            ),
            EvaluationConfig,
        )
        config = prepare(config, str(of_seed / "training"), None, click.echo)
        generate(config, str(output))
        rows = [row for row in ledger(open_storage(str(output))) if row["kind"] == "drawn"]
        means = {
            metric: _by_subject((row["subject_id"], row[column]) for row in rows if row[column] is not None)
            for metric, column in COLUMNS.items()
        }
        if (variant.name, asked) in LAID_OUT:
            means[LAYOUT] = layout(config, str(output), output.with_name(f"{output.name}-layout.json"))
        return means


def layout(config: EvaluationConfig, output: str, kept: Path) -> dict[str, float]:
    """Overlap of each picture's silhouette with that of its input image, by subject. Found once, and kept in a file."""
    if not kept.exists():
        segmenter, found = ModelSet(config).mask, []
        for path in data_files(open_storage(output), DATA):
            rows = [row for row in pq.read_table(path).to_pylist() if row["kind"] == "drawn" or row["sample"] == INPUT]
            masks = _silhouettes(segmenter, rows)
            of_input = {row["subject_id"]: mask for row, mask in zip(rows, masks, strict=True) if row["kind"] == "real"}
            for row, mask in zip(rows, masks, strict=True):
                other = of_input[row["subject_id"]]
                if row["kind"] == "drawn" and mask is not None and other is not None:
                    found.append((row["subject_id"], float((mask & other).sum() / (mask | other).sum())))
        kept.write_text(json.dumps(found))
    return _by_subject(json.loads(kept.read_text()))


def _silhouettes(segmenter: MaskModel, rows: Sequence[Mapping[str, Any]]) -> list[np.ndarray | None]:
    """Bool (H, W) of each picture's subject; None where it is not found."""
    images = [decode(row["image"]["bytes"], row["picture_id"]) for row in rows]
    subjects = [Subject(row["subject_id"], row["class_name"], "", 0) for row in rows]
    return list(segmenter.segment(images, subjects))


def _by_subject(values: Iterable[Sequence[Any]]) -> dict[str, float]:
    """(subject, value) each to the mean of each subject."""
    found: dict[str, list[float]] = {}
    for subject, value in values:
        found.setdefault(subject, []).append(value)
    return {subject: float(np.mean(some)) for subject, some in found.items()}
