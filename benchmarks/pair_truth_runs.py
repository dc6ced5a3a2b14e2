"""Judges the pairs of finished runs with the small world's renderer as subject: it knows the truth of every pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from toffee_pipeline.config.base import Category
from toffee_pipeline.evaluation.truth import Judged, Verdict, mask_error
from toffee_pipeline.images import decode, decode_mask
from toffee_pipeline.nano import world
from toffee_pipeline.nano.renderer import Scene, changes, scene, with_change
from toffee_pipeline.recipe.line_up import Witness, identify
from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.rundir.rows import as_judged, files_of, home_of
from toffee_pipeline.schema.subjects import Subject
from toffee_pipeline.storage import Storage, open_storage

SIZE_PX = 64
"""Of the pictures that the witness knows."""
NUM_OTHERS = 9
NOISE, BLUR_PX = 6.0, 0.7
"""Of the oracle that stands for a true target: standard deviations, in grey levels and in pixels."""


@dataclass(frozen=True)
class Example:
    """A judged pair to look at; images: uint8 (64, 64, 3)."""

    judged: Judged
    change: str
    input: np.ndarray
    target: np.ndarray
    oracle: np.ndarray


@dataclass(frozen=True)
class LineUps:
    """What a pair's target may show: the truth; the scene before the change; its subject with each other change of the
    category; and the truth with each of NUM_OTHERS toys of the class."""

    truth: Scene
    before: Scene
    changes: list[Scene]
    toys: list[Scene]


def judge_run(witness: Witness, uri: str, number: int) -> tuple[list[Judged], list[Example]]:
    """Every planned pair of the run, or of a view of one, in the ledger's order, and those that have pictures.

    Raises click.ClickException where there is no such run, or its subjects are not the renderer's.
    """
    storage = open_storage(uri)
    rows = {row["pair_id"]: row for row in _rows(storage, LEDGER)}
    if not rows:
        raise click.ClickException(f"{uri}: no finished pair of a run of jobs/generate.py")
    found: dict[str, Example] = {}
    for folder in (DATA, REJECTED):
        for row in _rows(storage, folder):
            if row["target_image"] is not None:
                found[row["pair_id"]] = judge_pair(witness, uri, row, number)
    judged = [found[name].judged if name in found else _judged(row, number, None) for name, row in rows.items()]
    return judged, list(found.values())


def _rows(storage: Storage, folder: str) -> Iterator[dict[str, Any]]:
    """With the verdicts that count, where it is a view."""
    for manifest in read_manifests(storage):
        home = home_of(storage, manifest)
        for file in files_of(manifest, folder):
            yield from as_judged(pq.read_table(home.path_for(file.key)), manifest, "pair_id").to_pylist()


def _judged(row: dict[str, Any], number: int, verdict: Verdict | None) -> Judged:
    return Judged(number, row["kind"], row["category"], row["status"], verdict)


def judge_pair(witness: Witness, uri: str, row: dict[str, Any], number: int) -> Example:
    """Judges a row of a run's `data` or `rejected` that has a target. uri, number: of the run."""
    input, target, shown = (decode(row[f"{name}_image"]["bytes"]) for name in ("input", "target", "subject"))
    if target.shape != (SIZE_PX, SIZE_PX, 3):
        raise click.ClickException(f"{uri}: pictures of {target.shape[1]} px: the witness sees {SIZE_PX} px")
    line_ups = _line_ups(row)
    before, truth = line_ups.before.render(SIZE_PX).rgb, line_ups.truth.render(SIZE_PX).rgb
    plain = truth if _is_reversed(row) else before
    if (plain != shown).any():
        raise click.ClickException(
            f"{uri}: pair {row['pair_id']}: not the renderer's subject; allowed are runs with subjects.source=renderer"
        )
    soft = _softened(replace(line_ups.truth, seed=line_ups.truth.seed + 1).render(SIZE_PX).rgb, row["pair_seed"])
    shots, toys = ([truth, *(shot.render(SIZE_PX).rgb for shot in some)] for some in (line_ups.changes, line_ups.toys))
    shots.append(before)

    of_target, of_input, of_soft, of_before = identify(witness, [target, input, soft, before], shots)
    who_in_target, who_in_soft = identify(witness, [target, soft], toys)
    verdict = Verdict(
        shown=of_target == 0 and (not _is_reversed(row) or of_input == len(shots) - 1),
        kept=who_in_target == 0,
        error=mask_error(target, truth, decode_mask(row["mask"]["bytes"])),
        shown_in_oracle=of_soft == 0,
        shown_before=of_before == 0,
        kept_in_oracle=who_in_soft == 0,
    )
    return Example(_judged(row, number, verdict), row["change"], input, target, truth)


def _is_reversed(row: dict[str, Any]) -> bool:
    """Whether the pair is an addition that was turned round."""
    return row.get("reversed_from") is not None


def _line_ups(row: dict[str, Any]) -> LineUps:
    original = scene(Subject(row["subject_id"], row["class_name"], row["subject_prompt"], row["subject_seed"]))
    category: Category = "addition" if _is_reversed(row) else row["category"]
    rng = np.random.default_rng([row["pair_seed"], 4])
    toys = [world.make_toy(row["class_name"], int(seed)) for seed in rng.integers(2**62, size=NUM_OTHERS)]
    others = [replace(original, subject=toy) for toy in toys]
    changed = with_change(original, category, row["change"])
    rest = [
        with_change(original, category, change)
        for change in changes(category, row["class_name"])
        if change != row["change"]
    ]
    if _is_reversed(row):
        return LineUps(truth=original, before=changed, changes=rest, toys=others)
    return LineUps(changed, original, rest, [with_change(other, category, row["change"]) for other in others])


def _softened(rgb: np.ndarray, seed: int) -> np.ndarray:
    blurred = np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(BLUR_PX)), float)
    noise = np.random.default_rng([seed, 5]).normal(0, NOISE, rgb.shape)
    return (blurred + noise).clip(0, 255).round().astype(np.uint8)
