"""The contact sheets of a report: which rows of a run are shown, and under which heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toffee_pipeline.filters import REASONS
from toffee_pipeline.report.bounds import bounds_of
from toffee_pipeline.report.cards import Card, inline_cards
from toffee_pipeline.report.overview import KINDS
from toffee_pipeline.report.sample import Shard, choose, choose_near
from toffee_pipeline.rundir.counts import RunCounts
from toffee_pipeline.rundir.description import ImageDatasetRun
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

MAX_NEAR = 6
MAX_REASONS = 6
MAX_REJECTED = 6
NOTES = {
    "generation": "The draft follows the prompt on the subject's layout; refining brings the subject's look back; the "
    "input is the subject from another view.",
    "edit": "The input is the subject image; only the tinted region may change, and outside it the target equals the "
    "input.",
    "subject": "The mask is tinted; depth is brightest where it is nearest.",
}


@dataclass(frozen=True)
class Sheet:
    title: str
    note: str
    cards: list[Card]


def make_sheets(
    storage: Storage, run: ImageDatasetRun, counts: RunCounts, shards: Sequence[Shard], max_accepted: int
) -> list[Sheet]:
    """Accepted rows of each kind, at most `max_accepted` in all; rows next to each threshold; rejected ones by reason.

    Those whose images are not kept are left out.
    """
    pairs = run.table is PAIRS
    balance = "category" if pairs else "class_name"
    quotas = _quotas(run.table, counts, max_accepted)
    kinds = choose(shards, quotas, lambda row: row["kind"] if row["status"] == "accepted" else None, balance)
    accepted = [
        (f"Accepted {kind} pairs" if pairs else f"Accepted {kind}s", NOTES[kind], chosen)
        for kind, chosen in kinds.items()
    ]
    near = [
        (
            f"Near the threshold: {bound.score.label} {bound.allowed}",
            "The nearest on both sides of it, the best first.",
            choose_near(shards, bound, MAX_NEAR),
        )
        for bound in bounds_of(run)
    ]
    most = dict.fromkeys(list(counts.rejected)[:MAX_REASONS], MAX_REJECTED)
    reasons = choose(shards, most, lambda row: row["reason"] if row["status"] == "rejected" else None, balance)
    rejected = [
        (f"Rejected: {reason}", REASONS[reason].explain(run.config.stages), chosen)
        for reason, chosen in reasons.items()
    ]
    plans = [*accepted, *near, *rejected]
    cards = inline_cards(storage, run, [each for _, _, chosen in plans for each in chosen])
    sheets = [
        Sheet(title, note, [cards[each.row["id"]] for each in chosen if each.row["id"] in cards])
        for title, note, chosen in plans
    ]
    return [sheet for sheet in sheets if sheet.cards]


def _quotas(table: Table, counts: RunCounts, max_rows: int) -> dict[str, int]:
    """Half of the pairs of each kind; what one kind lacks, the other may fill. A bank's subjects are of one kind. Never
    more than the run has."""
    if table is not PAIRS:
        return {table.row: min(max_rows, counts.accepted)}
    first, second = KINDS
    num_first, num_second = (counts.by_kind.get(kind, {}).get("accepted", 0) for kind in KINDS)
    num_first = min(num_first, max(-(-max_rows // 2), max_rows - num_second))
    return {first: num_first, second: min(num_second, max_rows - num_first)}
