"""Whether a model was trained on what it is measured with: pictures and prompts of a benchmark in training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.errors import DamagedFile, ImageError
from toffee_pipeline.evaluation.real_pictures import real_picture
from toffee_pipeline.evaluation.similarity import cosines
from toffee_pipeline.evaluation.training_data import datasets_of
from toffee_pipeline.images import central_square, decode, fit_square
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.pixels import perceptual_hash
from toffee_pipeline.plan.benchmark_prompts import normalized
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.rundir.rows import read_accepted
from toffee_pipeline.rundir.run_file import Number, Part, RunFile
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage

BATCH = 32
SEEN = {PAIRS.row: ("input_image", "target_image", "subject_image"), "subject": ("image",)}
"""What a training sees of a row: of a pair ToffeeNet the first two, and the Refiner its subject's picture."""


class Duplicate(Part):
    """exact: equal pixels at the training's size, or an equal prompt; else near: a high cosine, a perceptual hash that
    differs in few bits, or the same words.

    subject_id: whose picture it is, or one whose prompt it is. benchmark: the real picture, or the prompt. training:
    the most alike of what was found, and rows: how much was found. cosine, hash_distance: of pictures.
    """

    kind: str
    exact: bool
    subject_id: str
    benchmark: str
    training: str
    rows: Number
    cosine: float | None = None
    hash_distance: Number | None = None


class Contamination(RunFile):
    """contamination.json. unchecked: training data that holds no pictures and prompts of a run, in words."""

    datasets: list[str]
    unchecked: list[str]
    num_pictures: Number
    min_duplicate_dino: float
    max_duplicate_hash_distance: Number
    duplicates: list[Duplicate]


@dataclass
class _Real:
    """One real picture. dino: float (c,)."""

    subject_id: str
    name: str
    image: np.ndarray
    dino: np.ndarray


def check_contamination(config: EvaluationConfig, run: str) -> Contamination:
    """Benchmark subjects and prompts in the training data of a run.

    Args:
        run: of a training job, or a dataset that one learns from; a local path or s3://bucket/prefix.

    Raises as `read_run`, and PlanError where the benchmark cannot be read.
    """
    plan, encoder = EvaluationPlan(config), ModelSet(config).dino_scorer
    real = []
    for subject in plan.benchmark.subjects:
        for number, image in enumerate(subject.images):
            picture = central_square(decode(real_picture(config.benchmark, subject, number)))
            real.append(_Real(subject.subject_id, image.name, picture, _embed(encoder, [picture])[0]))
    prompts = {prompt.text: subject.subject_id for subject in plan.benchmark.subjects for prompt in subject.prompts}
    datasets, unchecked = datasets_of(run, config.output.endpoint_url)
    finder = _Finder(config, real, prompts, encoder)
    for dataset in datasets:
        finder.read(dataset)
    return Contamination(
        datasets=[dataset.uri for dataset in datasets],
        unchecked=unchecked,
        num_pictures=finder.num_pictures,
        min_duplicate_dino=config.min_duplicate_dino,
        max_duplicate_hash_distance=config.max_duplicate_hash_distance,
        duplicates=sorted(finder.found.values(), key=lambda each: (each.kind, not each.exact, each.benchmark)),
    )


def lines(found: Contamination) -> Iterator[str]:
    """For the terminal."""
    yield f"{found.num_pictures} pictures of {', '.join(found.datasets) or 'no dataset'} compared"
    for what in found.unchecked:
        yield f"not checked: {what}"
    for each in found.duplicates:
        alike = f", DINO {each.cosine:.3f}, {each.hash_distance} bits of the hash" if each.cosine is not None else ""
        how = "exact" if each.exact else f"near{alike}"
        yield f"{each.kind} ({how}): {each.benchmark} is in the training: {each.training} ({each.rows} rows)"
    if not found.duplicates:
        yield "no picture and no prompt of the benchmark is in the training data"


class _Finder:
    """Reads datasets row by row, and keeps one entry for each picture or prompt of the benchmark that it meets."""

    def __init__(self, config: EvaluationConfig, real: Sequence[_Real], prompts: dict[str, str], encoder: Any) -> None:
        self.config, self.real, self.prompts, self.encoder = config, real, prompts, encoder
        self.embeddings = np.stack([each.dino for each in real])
        self.hashes = np.stack([perceptual_hash(each.image).hash.ravel() for each in real])
        self.words: dict[str, list[str]] = {}
        for text in prompts:
            self.words.setdefault(normalized(text), []).append(text)
        self.num_pictures = 0
        self.found: dict[tuple[str, str], Duplicate] = {}

    def read(self, storage: Storage) -> None:
        run = read_run(storage)
        table = run.table
        for manifest in read_manifests(storage):
            columns = [table.id, "status", "prompt", *SEEN[table.row]]
            for _, rows in read_accepted(storage, manifest, table, columns):
                for batch in rows.to_batches(BATCH):
                    self._read_rows(batch.to_pylist(), table.id, SEEN[table.row], run.config.max_pixels)

    def _read_rows(self, rows: list[dict[str, Any]], key: str, columns: Sequence[str], max_pixels: int) -> None:
        for row in rows:
            self._compare_prompt(row["prompt"])
        for number, column in enumerate(columns):
            # an edit pair has its subject's picture twice, and a column may be null
            different = [row for row in rows if row[column] not in [None, *(row[name] for name in columns[:number])]]
            if not different:
                continue
            names = [f"{row[key]} {column}" for row in different]
            pictures = zip(different, names, strict=True)
            try:
                images = [decode(row[column]["bytes"], name, max_pixels) for row, name in pictures]
            except ImageError as error:
                raise DamagedFile(str(error)) from error
            similar = cosines(_embed(self.encoder, images), self.embeddings)
            for name, image, row in zip(names, images, similar, strict=True):
                self._compare_picture(name, image, row)
            self.num_pictures += len(different)

    def _compare_prompt(self, prompt: str) -> None:
        for text in self.words.get(normalized(prompt), ()):
            same = text == prompt
            subject = self.prompts[text]
            self._note(
                Duplicate(kind="prompt", exact=same, subject_id=subject, benchmark=text, training=prompt, rows=1)
            )

    def _compare_picture(self, name: str, image: np.ndarray, similar: np.ndarray) -> None:
        distances = (self.hashes != perceptual_hash(image).hash.ravel()).sum(1)
        near = (similar >= self.config.min_duplicate_dino) | (distances <= self.config.max_duplicate_hash_distance)
        for index in np.flatnonzero(near).tolist():
            real = self.real[index]
            equal = np.array_equal(fit_square(real.image, image.shape[0]), image)
            self._note(
                Duplicate(
                    kind="picture",
                    exact=equal,
                    subject_id=real.subject_id,
                    benchmark=f"{real.subject_id}: {real.name}",
                    training=name,
                    rows=1,
                    cosine=float(similar[index]),
                    hash_distance=int(distances[index]),
                )
            )

    def _note(self, each: Duplicate) -> None:
        """An exact one says more than a near one, and of these the nearest."""
        key = each.kind, each.benchmark
        known = self.found.get(key)
        if known is None:
            self.found[key] = each
            return
        better = max(known, each, key=lambda one: (one.exact, one.cosine or 0.0))
        self.found[key] = better.model_copy(update={"rows": known.rows + 1})


def _embed(encoder: Any, images: list[np.ndarray]) -> np.ndarray:
    return encoder.encode(images).cpu().numpy()
