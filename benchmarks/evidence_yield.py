"""Which pairs of a real run the two filters keep, by threshold, by kind and by category."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

import pyarrow.parquet as pq

from jobs.generate import generate
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import JudgeConfig
from toffee_pipeline.evaluation.estimate import Estimate, ratio
from toffee_pipeline.filters import decide
from toffee_pipeline.rundir.layout import LEDGER
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage

KINDS = ("generation", "edit")
OFF = -1.0
"""A threshold that every cosine reaches."""
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(51))
JOINT_OFFSETS = (-0.2, -0.1, 0.0, 0.1)
"""The joint table's thresholds, beside none at all, from the profile's own."""


@dataclass(frozen=True)
class Judged:
    """One planned pair of a run as its ledger has it; without scores where it was refused before, or failed."""

    seed: int
    kind: str
    category: str
    status: str
    reason: str | None
    dino: float | None
    clip: float | None


@dataclass(frozen=True)
class Yield:
    """Figures of the pairs of one kind, or of one category of a kind.

    accepted: share of the planned. dino, clip: mean over the pairs that have scores, whatever their verdict.
    reasons: number of pairs by reason, and by "failed".
    """

    kind: str
    category: str | None
    planned: int
    accepted: Estimate
    dino: Estimate
    clip: Estimate
    reasons: dict[str, int]


def run_pairs(config: RunConfig, seed: int) -> list[Judged]:
    """Runs `jobs/generate.py` on this seed's plan in a temporary run directory, and reads its ledger."""
    columns = ["kind", "category", "status", "reason", "dino_score", "clip_score"]
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        generate(config.model_copy(update={"seed": seed}), folder)
        files = data_files(open_storage(folder), LEDGER)
        rows = [row for file in files for row in pq.read_table(file, columns=columns).to_pylist()]
    return [Judged(seed, *(row[column] for column in columns)) for row in rows]


def share(rows: Iterable[Judged], keeps: Callable[[Judged], bool]) -> Estimate:
    """The share of `rows` that are kept."""
    return _over_seeds(rows, lambda row: float(keeps(row)))


def kept(rows: Iterable[Judged], min_dino: float = OFF, min_clip: float = OFF) -> Estimate:
    """The share of `rows` that the pipeline's filter would keep with these thresholds."""
    thresholds = JudgeConfig(min_dino=min_dino, min_clip=min_clip)

    def keeps(row: Judged) -> bool:
        if row.dino is None or row.clip is None:
            return False
        return decide({"dino": row.dino, "clip": row.clip}, thresholds) is None

    return share(rows, keeps)


def bounds(own: JudgeConfig) -> tuple[float, float]:
    """min_dino and min_clip; `OFF` where one is switched off."""
    return (OFF if own.min_dino is None else own.min_dino), (OFF if own.min_clip is None else own.min_clip)


def curves(rows: Sequence[Judged]) -> dict[str, dict[str, list[Estimate]]]:
    """Filter ("dino" or "clip") -> kind or "all" -> share kept at each of THRESHOLDS by that filter alone."""
    groups = {"all": rows} | {kind: [row for row in rows if row.kind == kind] for kind in KINDS}
    return {
        name: {
            label: [kept(group, **{f"min_{name}": value}) for value in THRESHOLDS] for label, group in groups.items()
        }
        for name in ("dino", "clip")
    }


def joint(rows: Sequence[Judged], own: JudgeConfig) -> dict[float, dict[float, Estimate]]:
    """min_dino -> min_clip -> share kept by both, around the profile's own thresholds."""
    dino, clip = ([OFF, *(round(value + step, 3) for step in JOINT_OFFSETS)] for value in bounds(own))
    return {min_dino: {min_clip: kept(rows, min_dino, min_clip) for min_clip in clip} for min_dino in dino}


def overlap(rows: Sequence[Judged], own: JudgeConfig) -> dict[str, Estimate]:
    """Share of all planned pairs by which of the two filters, each on its own, would keep them; "none": unscored."""

    def verdict(row: Judged) -> str:
        if row.dino is None or row.clip is None:
            return "none"
        min_dino, min_clip = bounds(own)
        by_dino, by_clip = row.dino >= min_dino, row.clip >= min_clip
        return {(True, True): "both", (True, False): "dino", (False, True): "clip"}.get((by_dino, by_clip), "neither")

    names = ("both", "dino", "clip", "neither", "none")
    return {name: share(rows, lambda row, name=name: verdict(row) == name) for name in names}  # type: ignore[misc]


def yields(rows: Sequence[Judged]) -> list[Yield]:
    """Each kind, and after it each of its categories that has pairs."""
    found = []
    for kind in KINDS:
        of_kind = [row for row in rows if row.kind == kind]
        for category in (None, *CATEGORIES):
            some = [row for row in of_kind if category in (None, row.category)]
            if some:
                found.append(_yield(kind, category, some))
    return found


def _yield(kind: str, category: str | None, rows: Sequence[Judged]) -> Yield:
    scored = [row for row in rows if row.dino is not None]
    return Yield(
        kind,
        category,
        planned=len(rows),
        accepted=share(rows, lambda row: row.status == "accepted"),
        dino=_over_seeds(scored, lambda row: row.dino or 0.0),
        clip=_over_seeds(scored, lambda row: row.clip or 0.0),
        reasons=dict(Counter(row.reason or row.status for row in rows if row.status != "accepted")),
    )


def _over_seeds(rows: Iterable[Judged], value: Callable[[Judged], float]) -> Estimate:
    sums: dict[int, float] = {}
    counts: Counter[int] = Counter()
    for row in rows:
        sums[row.seed] = sums.get(row.seed, 0.0) + value(row)
        counts[row.seed] += 1
    return ratio(list(sums.values()), [counts[seed] for seed in sums])
