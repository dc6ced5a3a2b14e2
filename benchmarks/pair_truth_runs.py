"""Judges the pairs of finished runs with the small world's renderer as subject: it knows the truth of every pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from toffee_pipeline.evaluation.truth import Answers, Judged, Verdict, is_nearest, mask_error, shows, shows_reversed
from toffee_pipeline.images import decode, decode_mask
from toffee_pipeline.nano import world
from toffee_pipeline.nano.renderer import Scene, scene, with_change
from toffee_pipeline.recipe.probe import Probe, judge
from toffee_pipeline.recipe.probe_data import HEADS
from toffee_pipeline.rundir.commit import data_files
from toffee_pipeline.schema import Pair, Subject
from toffee_pipeline.storage import Storage, open_storage

SIZE_PX = 64
"""The probe's pictures."""
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


def judge_run(probe: Probe, uri: str, number: int) -> tuple[list[Judged], list[Example]]:
    """Every planned pair of the run, in the ledger's order, and those that have pictures.

    Raises click.ClickException where there is no such run, or its subjects are not the renderer's.
    """
    storage = open_storage(uri)
    rows = {row["pair_id"]: row for row in _rows(storage, "ledger")}
    if not rows:
        raise click.ClickException(f"{uri}: no finished pair of a run of jobs/generate.py")
    found = {
        example_id: example
        for folder in ("data", "rejected")
        for row in _rows(storage, folder)
        if row["target_image"] is not None
        for example_id, example in [(row["pair_id"], judge_pair(probe, uri, row, number))]
    }
    judged = [found[name].judged if name in found else _judged(row, number, None) for name, row in rows.items()]
    return judged, list(found.values())


def _rows(storage: Storage, folder: str) -> Iterator[dict[str, Any]]:
    for file in data_files(storage, folder):
        yield from pq.read_table(file).to_pylist()


def _judged(row: dict[str, Any], number: int, verdict: Verdict | None) -> Judged:
    return Judged(number, row["kind"], row["category"], row["status"], verdict)


def judge_pair(probe: Probe, uri: str, row: dict[str, Any], number: int) -> Example:
    input, target, shown = (decode(row[f"{name}_image"]["bytes"]) for name in ("input", "target", "subject"))
    if target.shape != (SIZE_PX, SIZE_PX, 3):
        raise click.ClickException(f"{uri}: pictures of {target.shape[1]} px: the judges see {SIZE_PX} px")
    truth, before, *others = _line_up(row)
    if (scene(_subject(row)).render(SIZE_PX).rgb != shown).any():
        raise click.ClickException(
            f"{uri}: pair {row['pair_id']}: not the renderer's subject; allowed are runs with subjects.source=renderer"
        )
    pictures = [shot.render(SIZE_PX).rgb for shot in (truth, before, *others)]
    oracle = pictures[0]
    soft = _softened(replace(truth, seed=truth.seed + 1).render(SIZE_PX).rgb, row["pair_seed"])
    indices, identities = judge(probe, [target, input, soft, *pictures])
    of_target, of_input, _, of_oracle, of_before, *_ = (
        {head: HEADS[head][int(indices[head][place])] for head in HEADS} for place in range(len(identities))
    )
    line_up = identities[[3, *range(5, len(identities))]]

    def is_shown(answers: Answers, answers_before: Answers) -> bool:
        if _is_reversed(row):
            return shows_reversed(row["change"], answers, answers_before)
        return shows(row["category"], row["change"], answers)

    verdict = Verdict(
        shown=is_shown(of_target, of_input),
        kept=is_nearest(identities[0], line_up),
        error=mask_error(target, oracle, decode_mask(row["mask"]["bytes"])),
        shown_by_oracle=is_shown(of_oracle, of_before),
        shown_before=is_shown(of_before, of_before),
        kept_by_oracle=is_nearest(identities[2], line_up),
    )
    return Example(_judged(row, number, verdict), row["change"], input, target, oracle)


def _is_reversed(row: dict[str, Any]) -> bool:
    """Whether the pair is an addition that was turned round."""
    return row.get("reversed_from") is not None


def _subject(row: dict[str, Any]) -> Subject:
    return Subject(row["subject_id"], row["class_name"], row["subject_prompt"], row["subject_seed"])


def _line_up(row: dict[str, Any]) -> list[Scene]:
    """The truth of the pair's target; the same without its change; and the truth for NUM_OTHERS toys of the class."""
    original = scene(_subject(row))
    rng = np.random.default_rng([row["pair_seed"], 4])
    others = [world.make_toy(row["class_name"], int(seed)) for seed in rng.integers(2**62, size=NUM_OTHERS)]
    rest = [replace(original, subject=toy) for toy in others]
    pair = Pair(
        pair_id=row["pair_id"],
        subject_id=row["subject_id"],
        kind=row["kind"],
        category="addition" if _is_reversed(row) else row["category"],
        change=row["change"],
        prompt=row["prompt"],
        seed=row["pair_seed"],
    )
    if _is_reversed(row):
        return [original, with_change(original, pair), *rest]
    return [with_change(original, pair), original, *(with_change(other, pair) for other in rest)]


def _softened(rgb: np.ndarray, seed: int) -> np.ndarray:
    blurred = np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(BLUR_PX)), float)
    noise = np.random.default_rng([seed, 5]).normal(0, NOISE, rgb.shape)
    return (blurred + noise).clip(0, 255).round().astype(np.uint8)
