"""One HTML page that shows a run to a stranger: what it made, what it refused and why, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.filters import REASONS
from toffee_pipeline.report.cards import Card, collect_cards, collect_failed
from toffee_pipeline.rundir.counts import RunCounts, Summary
from toffee_pipeline.rundir.description import SubjectDatasetRun
from toffee_pipeline.schema import PAIRS, Table
from toffee_pipeline.storage import Storage
from toffee_pipeline.templates import load_template

REPORT = "report/index.html"
TEMPLATE = Path(__file__).parent / "templates" / "report.html"
MAX_REJECTED = 12
MAX_FAILED = 12
MAX_UNREADABLE = 20
KINDS = ("generation", "edit")
MARKS = ("stand-in", "untrained")
"""Words in a role's description that make its result a stand-in's or meaningless; such roles are framed on the page."""


def write_report(
    storage: Storage,
    run: SubjectDatasetRun,
    counts: RunCounts,
    max_pairs: int = 48,
    max_failed: int = MAX_FAILED,
) -> str:
    """Write the page of a run into its directory, and return its key.

    The page is one file: pictures and style are inlined, and it asks for no network and no script. Pairs, or
    a bank's subjects, are read from committed shards only. Where these hold fewer than the run has planned, the page
    says that the run goes on.

    Args:
        counts: of all committed shards; a `Summary` also tells how fast the run was.
        max_pairs: most accepted pairs on the page, in halves of both kinds where there are enough; or subjects.
        max_failed: most failed ones; to find these few, the manifests of all shards may have to be read.
    """
    as_of = datetime.now(UTC)
    table, group = run.table, "category" if run.table is PAIRS else "class_name"
    accepted = collect_cards(storage, table, "data", _quotas(table, counts, "accepted", max_pairs), group)
    rejected = collect_cards(storage, table, "rejected", _quotas(table, counts, "rejected", MAX_REJECTED), "reason")
    failed = collect_failed(storage, table, min(max_failed, counts.failed))
    page = render_page(run, counts, as_of, accepted, rejected, failed)
    storage.put(REPORT, page.encode())
    return REPORT


def render_page(
    run: SubjectDatasetRun,
    counts: RunCounts,
    as_of: datetime,
    accepted: Mapping[str, list[Card]],
    rejected: Mapping[str, list[Card]],
    failed: list[dict[str, Any]],
) -> str:
    """The page as HTML; every text from a run is escaped. as_of: when `counts` were taken, with a time zone."""
    template = load_template(TEMPLATE, thousands=_thousands, share=_share, score=_score, seconds=_seconds)
    return template.render(
        counts=counts,
        planned=run.num_rows,
        left=_left(run, counts),
        as_of=as_of.isoformat(timespec="seconds"),
        facts=_facts(run),
        figures=_figures(run, counts),
        roles=[(role, source, _is_marked(source)) for role, source in run.roles.items()],
        funnel=_funnel(run, counts),
        groups=_groups(counts),
        accepted=accepted,
        rejected=[card for cards in rejected.values() for card in cards],
        num_rejected=sum(counts.rejected.values()),
        failed=failed,
        unreadable=list(counts.unreadable.items())[:MAX_UNREADABLE],
        scores=run.table.scores,
        row=run.table.row,
    )


def _left(run: SubjectDatasetRun, counts: RunCounts) -> int:
    """Planned pairs that no committed shard has yet."""
    return run.num_rows - counts.planned


def _quotas(table: Table, counts: RunCounts, status: str, max_rows: int) -> dict[str, int]:
    """Half of the pairs of each kind; what one kind lacks, the other may fill. A bank's subjects are of one kind. Never
    more than the run has."""
    if table is not PAIRS:
        return {table.row: min(max_rows, counts.accepted if status == "accepted" else sum(counts.rejected.values()))}
    first, second = KINDS
    num_first, num_second = (counts.by_kind.get(kind, {}).get(status, 0) for kind in KINDS)
    num_first = min(num_first, max(-(-max_rows // 2), max_rows - num_second))
    return {first: num_first, second: min(num_second, max_rows - num_first)}


def _facts(run: SubjectDatasetRun) -> list[tuple[str, str]]:
    config = run.config
    return [
        ("Subjects", config.subjects.source),
        ("Catalogue", config.subjects.catalog),
        ("Image size", f"{config.size_px} × {config.size_px} px"),
        ("Seed", str(config.seed)),
        ("Placement", config.placement),
        ("Plan", run.plan_hash),
        ("Code", run.code_version),
        ("Started", f"{run.created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    ]


def _figures(run: SubjectDatasetRun, counts: RunCounts) -> list[tuple[str, str]]:
    """The headline: each figure and what it counts."""
    noun = "computed so far" if _left(run, counts) else "planned"
    spent = sum(stage.seconds for stage in counts.stages.values())
    figures = [
        (_thousands(counts.accepted), f"accepted {run.table.row}s"),
        (_share(counts.accepted, counts.planned), f"of {_thousands(counts.planned)} {noun}"),
    ]
    if counts.accepted and spent:
        figures.append((_seconds(spent / counts.accepted), f"model time per accepted {run.table.row}"))
    if isinstance(counts, Summary):
        if counts.pairs_per_s:
            figures.append((f"{counts.pairs_per_s:,.3g}", f"{run.table.row}s per second"))
        if counts.elapsed_s:
            figures.append((_seconds(counts.elapsed_s), "elapsed"))
    return figures


def _is_marked(source: str) -> bool:
    return any(mark in source for mark in MARKS)


def _funnel(run: SubjectDatasetRun, counts: RunCounts) -> list[tuple[str, int, str, str]]:
    """Rows of (what became of pairs, how many, a note, the bar's CSS class)."""
    rows = [("planned", run.num_rows, "", "planned"), ("accepted", counts.accepted, "in the dataset", "accepted")]
    for reason, number in counts.rejected.items():
        rows.append((f"rejected: {reason}", number, REASONS[reason].explain(run.config.stages), "rejected"))
    rows.append(("failed", counts.failed, f"an error of the {run.table.row} itself; the run went on", "failed"))
    if left := _left(run, counts):
        rows.append(("to come", left, "not computed yet", "planned"))
    if open_pairs := counts.planned - counts.accepted - sum(counts.rejected.values()) - counts.failed:
        rows.append(("not accounted for", open_pairs, "planned = accepted + rejected + failed does not hold", "failed"))
    return rows


def _groups(counts: RunCounts) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """Per table its title and rows of (name, accepted, planned); categories in the taxonomy's order."""
    tables = []
    for title, known, order in (("Kind", counts.by_kind, KINDS), ("Category", counts.by_category, CATEGORIES)):
        rows = [(name, known[name].get("accepted", 0), known[name]["planned"]) for name in order if name in known]
        if rows:
            tables.append((title, rows))
    return tables


def _thousands(number: int) -> str:
    return f"{number:,}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _score(value: float) -> str:
    return f"{value:.2f}"


def _seconds(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:,.1f} h"
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.3g} s"
