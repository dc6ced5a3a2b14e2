"""One HTML page that shows a run to a stranger: what it made, what it refused and why, what it cost."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from toffee_pipeline.report.bounds import bounds_of
from toffee_pipeline.report.cards import collect_failed
from toffee_pipeline.report.costs import costs_of
from toffee_pipeline.report.curves import curves_of, heat_map
from toffee_pipeline.report.distributions import distribution
from toffee_pipeline.report.overview import facts_of, figures_of, funnel_of, groups_of, is_marked, left
from toffee_pipeline.report.sample import sample_shards
from toffee_pipeline.report.shard_rows import Row
from toffee_pipeline.report.sheets import Sheet, make_sheets
from toffee_pipeline.report.words import TEMPLATES, load
from toffee_pipeline.rundir.alike import said_of_alike
from toffee_pipeline.rundir.counts import RunCounts, Summary
from toffee_pipeline.rundir.description import ImageDatasetRun, PairRun
from toffee_pipeline.rundir.shortfall import shortfalls
from toffee_pipeline.storage import Storage

REPORT = "report/index.html"
MAX_FAILED = 12
MAX_UNREADABLE = 20
MAX_CLASSES = 24


def write_report(
    storage: Storage,
    run: ImageDatasetRun,
    counts: RunCounts,
    max_pairs: int = 48,
    max_failed: int = MAX_FAILED,
    ledger: pa.Table | None = None,
) -> str:
    """Write the page of a run into its directory, and return its key.

    The page is one file of less than 20 MB: pictures, style and script are inlined, and it asks for no network. It
    reads committed shards only, and of a large run some of them. Where these hold fewer pairs than the run has planned,
    the page says that the run goes on.

    Args:
        counts: of all committed shards; a `Summary` also tells how fast the run was.
        max_pairs: most accepted pairs on the page, in halves of both kinds where there are enough; or subjects.
        max_failed: most failed ones; to find these few, the manifests of all shards may have to be read.
        ledger: `index.COLUMNS` of all pairs; then the page shows what other thresholds would accept.
    """
    as_of = datetime.now(UTC)
    shards = sample_shards(storage, run.table)
    sheets = make_sheets(storage, run, counts, shards, max_pairs)
    failed = collect_failed(storage, run.table, min(max_failed, counts.failed))
    rows = [row for shard in shards for row in shard.rows]
    page = render_page(run, counts, as_of, rows, sheets, failed, ledger)
    storage.put(REPORT, page.encode())
    return REPORT


def script() -> tuple[str, str]:
    """The page's script, and the source of a Content-Security-Policy that allows it and no other."""
    text = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return text, f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def render_page(
    run: ImageDatasetRun,
    counts: RunCounts,
    as_of: datetime,
    rows: Sequence[Row],
    sheets: Sequence[Sheet],
    failed: Sequence[Row],
    ledger: pa.Table | None = None,
) -> str:
    """The page as HTML; every text from a run is escaped.

    Args:
        as_of: when `counts` were taken, with a time zone.
        rows: of the ledger, whose scores are drawn.
        ledger: as `write_report`.
    """
    bounds = bounds_of(run)
    script_text, script_source = script()
    drawn = [distribution(rows, score, bounds) for score in run.table.scores]
    return load("report.html").render(
        counts=counts,
        planned=run.num_rows,
        left=left(run, counts),
        as_of=as_of.isoformat(timespec="seconds"),
        facts=facts_of(run),
        figures=figures_of(run, counts),
        roles=[(role, source, is_marked(source)) for role, source in run.roles.items()],
        funnel=funnel_of(run, counts),
        num_masked=counts.by_kind.get("edit", {}).get("accepted", 0),
        alike=said_of_alike(counts.alike) if isinstance(counts, Summary) and counts.alike else None,
        groups=groups_of(counts),
        quota=run.config.min_class_yield,
        shortfalls=shortfalls(counts, run.config.min_class_yield),
        max_names=MAX_CLASSES,
        costs=costs_of(run, counts),
        num_drawn=len(rows),
        distributions=[each for each in drawn if each],
        curves=curves_of(ledger, run) if ledger is not None and isinstance(run, PairRun) else [],
        heat=heat_map(ledger, run) if ledger is not None and isinstance(run, PairRun) else None,
        sheets=sheets,
        num_rejected=sum(counts.rejected.values()),
        rejected_kept=any(card.row["status"] == "rejected" for sheet in sheets for card in sheet.cards),
        failed=failed,
        unreadable=list(counts.unreadable.items())[:MAX_UNREADABLE],
        scores=[each for each in run.table.scores if any(row[each.column] is not None for row in rows)],
        row=run.table.row,
        script=script_text,
        script_source=script_source,
    )
