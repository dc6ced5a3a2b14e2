"""One HTML page that shows a run to a stranger: what it made, what it refused and why, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.filters import REASONS, SCORES
from toffee_pipeline.report.cards import Card, collect_cards, collect_failed
from toffee_pipeline.storage import Storage
from toffee_pipeline.templates import load_template

REPORT = "report/index.html"
TEMPLATE = Path(__file__).parent / "templates" / "report.html"
MAX_REJECTED = 12
MAX_FAILED = 12
KINDS = ("generation", "edit")
MARKS = ("stand-in", "untrained")
"""Words in a role's description that make its result a stand-in's or meaningless; such roles are framed on the page."""


def write_report(
    storage: Storage,
    summary: Mapping[str, Any],
    run: Mapping[str, Any],
    max_pairs: int = 48,
    max_failed: int = MAX_FAILED,
) -> str:
    """Write the page of a run into its directory, and return its key.

    The page is one file: pictures and style are inlined, and it asks for no network and no script. Pairs are read from
    committed shards only; optional keys of `summary` and `run` may be absent.

    Args:
        summary: counts as `RunCounts`, with `elapsed_s` and `pairs_per_s`. While the run goes on
            "planned" is the whole run's, and "left" says how many of them no committed shard has.
        run: the content of run.json.
        max_pairs: most accepted pairs on the page, in halves of both kinds where there are enough.
        max_failed: most failed pairs; to find these few, the manifests of all shards may have to be read.
    """
    accepted = collect_cards(storage, "data", _quotas(summary, "accepted", max_pairs), "category")
    rejected = collect_cards(storage, "rejected", _quotas(summary, "rejected", MAX_REJECTED), "reason")
    failed = collect_failed(storage, min(max_failed, summary.get("failed", 0)))
    page = render_page(summary, run, accepted, rejected, failed)
    storage.put(REPORT, page.encode())
    return REPORT


def render_page(
    summary: Mapping[str, Any],
    run: Mapping[str, Any],
    accepted: Mapping[str, list[Card]],
    rejected: Mapping[str, list[Card]],
    failed: list[dict[str, Any]],
) -> str:
    """The page as HTML; every text from a run is escaped."""
    template = load_template(TEMPLATE, thousands=_thousands, share=_share, score=_score, seconds=_seconds)
    return template.render(
        summary={"planned": 0, "accepted": 0, "failed": 0, "errors": {}, "left": 0, **summary},
        facts=_facts(run),
        figures=_figures(summary),
        roles=[(role, str(source), _is_marked(str(source))) for role, source in run.get("roles", {}).items()],
        funnel=_funnel(summary, run.get("config", {})),
        groups=_groups(summary),
        stages=_stages(summary),
        accepted=accepted,
        rejected=[card for kind in KINDS for card in rejected.get(kind, [])],
        num_rejected=sum(summary.get("rejected", {}).values()),
        failed=failed,
        scores=SCORES,
    )


def _quotas(summary: Mapping[str, Any], status: str, max_pairs: int) -> dict[str, int]:
    """Half of the pairs of each kind; what one kind lacks, the other may fill. Never more than the run has."""
    known = summary.get("by_kind") or {kind: {status: max_pairs} for kind in KINDS}
    have = dict.fromkeys(KINDS, 0)
    for kind in have.keys() & known.keys():
        have[kind] = known[kind].get(status, 0)
    first, second = KINDS
    num_first = min(have[first], max(-(-max_pairs // 2), max_pairs - have[second]))
    return {first: num_first, second: min(have[second], max_pairs - num_first)}


def _facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    config = run.get("config", {})
    size_px, subjects = config.get("size_px"), config.get("subjects", {})
    facts = {
        "Subjects": subjects.get("source"),
        "Catalogue": subjects.get("catalog"),
        "Image size": size_px and f"{size_px} × {size_px} px",
        "Seed": config.get("seed"),
        "Placement": config.get("placement"),
        "Plan": run.get("plan_hash"),
        "Code": run.get("code_version"),
        "Started": run.get("created"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _figures(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headline: each figure and what it counts."""
    planned, accepted = summary.get("planned", 0), summary.get("accepted", 0)
    left = summary.get("left", 0)
    computed, noun = planned - left, "computed so far" if left else "planned"
    spent = sum(stage["seconds"] for stage in summary.get("stages", {}).values())
    figures = [
        (_thousands(accepted), "accepted pairs"),
        (_share(accepted, computed), f"of {_thousands(computed)} {noun}"),
    ]
    if accepted and spent:
        figures.append((_seconds(spent / accepted), "model time per accepted pair"))
    if summary.get("pairs_per_s"):
        figures.append((f"{summary['pairs_per_s']:,.3g}", "pairs per second"))
    if summary.get("elapsed_s"):
        figures.append((_seconds(summary["elapsed_s"]), "elapsed"))
    return figures


def _is_marked(source: str) -> bool:
    return any(mark in source for mark in MARKS)


def _funnel(summary: Mapping[str, Any], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    planned, failed = summary.get("planned", 0), summary.get("failed", 0)
    accepted, rejected = summary.get("accepted", 0), summary.get("rejected", {})
    rows = [("planned", planned, "", "planned"), ("accepted", accepted, "in the dataset", "accepted")]
    rows += [(f"rejected: {reason}", n, _explain(reason, config), "rejected") for reason, n in rejected.items()]
    rows.append(("failed", failed, "an error of the pair itself; the run went on", "failed"))
    if left := summary.get("left", 0):
        rows.append(("to come", left, "not computed yet", "planned"))
    if open_pairs := planned - accepted - sum(rejected.values()) - failed - left:
        rows.append(("not accounted for", open_pairs, "planned = accepted + rejected + failed does not hold", "failed"))
    return [
        {"name": name, "count": count, "of": planned, "note": note, "class": css_class}
        for name, count, note, css_class in rows
    ]


def _explain(reason: str, config: Mapping[str, Any]) -> str:
    return REASONS[reason].explain(config) if reason in REASONS else reason


def _groups(summary: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """Per table its title and rows of (name, accepted, planned); categories in the taxonomy's order."""
    tables = []
    for title, key, order in (("Kind", "by_kind", KINDS), ("Category", "by_category", CATEGORIES)):
        known = summary.get(key, {})
        names = [*(name for name in order if name in known), *(name for name in known if name not in order)]
        rows = [(name, known[name].get("accepted", 0), known[name].get("planned", 0)) for name in names]
        if rows:
            tables.append((title, rows))
    return tables


def _stages(summary: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    return [(name, stage["rows"], stage["seconds"]) for name, stage in summary.get("stages", {}).items()]


def _thousands(number: int) -> str:
    return f"{number:,}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _seconds(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:,.1f} h"
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.3g} s"
