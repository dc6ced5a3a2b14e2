"""A run in figures: what was planned, what became of it, who made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.dataset import ImageDatasetConfig, SubjectDatasetConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.filters import REASONS
from toffee_pipeline.report.words import seconds, share, thousands
from toffee_pipeline.rundir.counts import RunCounts, Summary
from toffee_pipeline.rundir.description import DatasetRun, ImageDatasetRun, ViewRun

KINDS = ("generation", "edit")
MARKS = ("stand-in", "untrained")
"""Words in a role's description that make its result a stand-in's or meaningless; such roles are framed on the page."""


@dataclass(frozen=True)
class Group:
    """The rows of one table of yields. counts: name -> "planned" and each status -> pairs."""

    title: str
    counts: Mapping[str, Mapping[str, int]]
    names: list[str]


def left(run: DatasetRun, counts: RunCounts) -> int:
    """Planned pairs that no committed shard has yet."""
    return run.num_rows - counts.planned


def facts_of(run: ImageDatasetRun) -> list[tuple[str, str]]:
    config = run.config
    return [
        *_origin_of(config),
        ("Image size", f"{config.size_px} × {config.size_px} px"),
        ("Seed", str(config.seed)),
        ("Placement", config.placement),
        ("Plan", run.plan_hash),
        ("Code", run.code_version),
        ("Started", f"{run.created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    ]


def _origin_of(config: ImageDatasetConfig) -> list[tuple[str, str]]:
    if isinstance(config, RefinementConfig):
        return [("Pairs", f"{config.source.format}, {config.source.path}")]
    assert isinstance(config, SubjectDatasetConfig)  # there is no third kind
    return [("Subjects", config.subjects.source), ("Catalogue", config.subjects.catalog)]


def figures_of(run: DatasetRun, counts: RunCounts) -> list[tuple[str, str]]:
    """The headline: each figure and what it counts."""
    noun = "computed so far" if left(run, counts) else "planned"
    spent = sum(stage.seconds for stage in counts.stages.values())
    figures = [
        (thousands(counts.accepted), f"accepted {run.table.row}s"),
        (share(counts.accepted, counts.planned), f"of {thousands(counts.planned)} {noun}"),
    ]
    if counts.accepted and spent:
        figures.append((seconds(spent / counts.accepted), f"model time per accepted {run.table.row}"))
    if isinstance(counts, Summary) and not isinstance(run, ViewRun):  # a view's are those of copying
        if counts.pairs_per_s:
            figures.append((f"{counts.pairs_per_s:,.3g}", f"{run.table.row}s per second of the last start"))
        if counts.elapsed_s:
            figures.append((seconds(counts.elapsed_s), "elapsed in the last start"))
    return figures


def is_marked(source: str) -> bool:
    return any(mark in source for mark in MARKS)


def funnel_of(run: ImageDatasetRun, counts: RunCounts) -> list[tuple[str, int, str, str]]:
    """Rows of (what became of pairs, how many, a note, the bar's CSS class)."""
    rows = [("planned", run.num_rows, "", "planned"), ("accepted", counts.accepted, "in the dataset", "accepted")]
    for reason, number in counts.rejected.items():
        rows.append((f"rejected: {reason}", number, REASONS[reason].explain(run.config.stages), "rejected"))
    rows.append(("failed", counts.failed, f"an error of the {run.table.row} itself; the run went on", "failed"))
    if to_come := left(run, counts):
        rows.append(("to come", to_come, "not computed yet", "planned"))
    if open_pairs := counts.planned - counts.accepted - sum(counts.rejected.values()) - counts.failed:
        rows.append(("not accounted for", open_pairs, "planned = accepted + rejected + failed does not hold", "failed"))
    return rows


def groups_of(counts: RunCounts) -> list[Group]:
    """Kinds and categories in the taxonomy's order, classes with the least yield first."""
    classes = sorted(counts.by_class, key=lambda name: (_yield(counts.by_class[name]), name))
    found = (
        Group("Kind", counts.by_kind, [kind for kind in KINDS if kind in counts.by_kind]),
        Group("Category", counts.by_category, [name for name in CATEGORIES if name in counts.by_category]),
        Group("Class, least yield first", counts.by_class, classes),
    )
    return [group for group in found if group.names]


def _yield(numbers: Mapping[str, int]) -> float:
    return numbers.get("accepted", 0) / numbers["planned"]
