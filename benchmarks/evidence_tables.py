"""The evidence as figures (JSON) and as tables of text, which the page, the Markdown and the console share."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.evidence_edits import EditGroup
from benchmarks.evidence_yield import OFF, Yield, bounds
from toffee_pipeline.config.stages import JudgeConfig, RefineConfig
from toffee_pipeline.evaluation.estimate import Estimate
from toffee_pipeline.evaluation.judge import METRICS, PICTURES, Group

LABELS = {
    "dino": "DINO",
    "clip_i": "CLIP-I",
    "seg_clip_i": "Seg-CLIP-I",
    "error": "error, grey levels",
    "clip_t": "CLIP-T",
}
SYMBOLS = {"a": "a", "g": "g", "strength": "t0", "matching_radius": "matching radius"}
"""Keys of `refine` as the paper writes them."""
REFINING, RUN = "draft against refined", "run of jobs/generate.py"
"""The two experiments."""
MIN_GAP_SHARE, MIN_CLIP_T_CHANGE = 0.5, -0.05


@dataclass(frozen=True)
class Evidence:
    """All figures.

    num_pairs: planned per seed, in each of the two experiments. roles: REFINING or RUN -> role -> who played it.
    groups: "all" and each category -> figures; sweeps: key of `refine` -> value -> the same groups.
    edits: each category of edit pairs under each setting of its draft.
    curves: filter -> kind -> share kept at each of `thresholds`. joint: min_dino -> min_clip -> share kept.
    """

    num_seeds: int
    num_pairs: int
    refine: RefineConfig
    filter: JudgeConfig
    roles: dict[str, dict[str, str]]
    groups: dict[str, Group]
    sweeps: dict[str, dict[float, dict[str, Group]]]
    edits: list[EditGroup]
    thresholds: tuple[float, ...]
    curves: dict[str, dict[str, list[Estimate]]]
    overlap: dict[str, Estimate]
    joint: dict[float, dict[float, Estimate]]
    yields: list[Yield]
    elapsed_s: float


@dataclass(frozen=True)
class Table:
    """Cells of text. num_names: so many columns at the left hold names, the others figures."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    num_names: int = 2


@dataclass(frozen=True)
class Bar:
    """One requirement on the figure of one group of pairs. verdict: met (or met beyond the oracle), missed, no gap."""

    part: str
    text: str
    figure: str
    verdict: str


def bars(evidence: Evidence) -> list[Bar]:
    """The claim for each group: closer to the subject by encoders that had no part in it, as true to the prompt."""
    return [bar for part, group in evidence.groups.items() for bar in _bars(part, group)]


def _bars(part: str, group: Group) -> Iterator[Bar]:
    for metric in ("clip_i", "seg_clip_i"):
        share = group.gap_share[metric]
        text = f"of the gap in {LABELS[metric]} closed; wanted: {100 * MIN_GAP_SHARE:.0f} % or more"
        if math.isnan(share.value):
            yield Bar(part, f"{LABELS[metric]}: the oracle is no nearer to the subject than the draft", "–", "no gap")
        else:
            beyond = share.value - (share.error or 0) > 1
            met = "met, but beyond the oracle" if beyond else "met"
            yield Bar(part, text, percent(share), met if share.value >= MIN_GAP_SHARE else "missed")
    change = group.clip_t_change
    text = f"change of CLIP-T; wanted: no fall beyond {-100 * MIN_CLIP_T_CHANGE:.0f} %"
    verdict = "met" if change.value >= MIN_CLIP_T_CHANGE else "missed"
    yield Bar(part, text, percent(change, signed=True), verdict)


def main_table(evidence: Evidence) -> Table:
    """Draft, refined and oracle, and how much of the way from the first to the last was made."""
    rows: list[tuple[str, ...]] = []
    for name, group in evidence.groups.items():
        label = f"{name}, {group.num_pairs} pairs"
        rows += [(label, picture, *_cells(group, picture)) for picture in PICTURES]
        shares = [percent(group.gap_share[metric]) for metric in METRICS if metric != "clip_t"]
        rows.append((label, "gap closed; change of CLIP-T", *shares, percent(group.clip_t_change, signed=True)))
    return Table("Draft against refined", ("pairs", "picture", *LABELS.values()), rows)


def tables(evidence: Evidence) -> list[Table]:
    """All tables, the main one first."""
    return [
        main_table(evidence),
        _sweep_table(evidence),
        _edit_table(evidence),
        _overlap_table(evidence),
        _joint_table(evidence),
        _yield_table(evidence),
    ]


def _sweep_table(evidence: Evidence) -> Table:
    header = ("setting", "value", "pairs", *LABELS.values(), "gap in CLIP-I closed", "change of CLIP-T")
    rows = [
        (
            SYMBOLS[key],
            f"{value:g}{' (profile)' if value == getattr(evidence.refine, key) else ''}",
            name,
            *_cells(group, "refined"),
            percent(group.gap_share["clip_i"]),
            percent(group.clip_t_change, signed=True),
        )
        for key, values in evidence.sweeps.items()
        for value, groups in values.items()
        for name, group in groups.items()
    ]
    return Table("Effect of a, g, t0 and the matching radius on the refined picture", header, rows, num_names=3)


def _edit_table(evidence: Evidence) -> Table:
    rows = [
        (
            f"{group.category}, {group.num_pairs} pairs",
            f"{group.strength:g}",
            f"{group.scale:g}{' (profile)' if group.is_profile else ''}",
            number(group.means["error"], 1),
            number(group.means["dino"]),
            number(group.means["clip"]),
            percent(group.means["accepted"]),
        )
        for group in evidence.edits
    ]
    header = ("category", "strength", "ControlNet scale", "error in the mask, grey levels", "DINO", "CLIP", "accepted")
    return Table("Edit pairs by how their drafts are made", header, rows, num_names=3)


def _overlap_table(evidence: Evidence) -> Table:
    shares = {name: percent(estimate) for name, estimate in evidence.overlap.items()}
    rows = [("DINO keeps", shares["both"], shares["dino"]), ("DINO refuses", shares["clip"], shares["neither"])]
    title = f"The two filters at the profile's thresholds; without scores: {shares['none']}"
    return Table(title, ("share of the planned pairs", "CLIP keeps", "CLIP refuses"), rows, num_names=1)


def _joint_table(evidence: Evidence) -> Table:
    columns = next(iter(evidence.joint.values()))
    own_dino, own_clip = bounds(evidence.filter)
    header = ("min_dino \\ min_clip", *(_threshold(value, own_clip) for value in columns))
    rows = [
        (_threshold(min_dino, own_dino), *(percent(estimate) for estimate in row.values()))
        for min_dino, row in evidence.joint.items()
    ]
    return Table("Share of the planned pairs that both filters keep", header, rows, num_names=1)


def _yield_table(evidence: Evidence) -> Table:
    rows = [
        (
            found.kind,
            found.category or "all",
            f"{found.planned}",
            percent(found.accepted),
            number(found.dino),
            number(found.clip),
            ", ".join(f"{count} {reason}" for reason, count in sorted(found.reasons.items())),
        )
        for found in evidence.yields
    ]
    header = ("kind", "category", "planned", "accepted", "DINO", "CLIP", "refused or failed")
    return Table("Acceptance and mean scores", header, rows)


def markdown(evidence: Evidence) -> str:
    """All tables and requirements, to be pasted into a document."""
    parts = [
        _settings(evidence),
        *(f"- {bar.part}: {bar.figure} {bar.text}: {bar.verdict}." for bar in bars(evidence)),
    ]
    for table in tables(evidence):
        parts += ["", f"**{table.title}**", "", *markdown_lines(table)]
    return "\n".join(parts) + "\n"


def markdown_lines(table: Table) -> list[str]:
    """The table's lines in Markdown, without its title."""
    rule = ["---"] * table.num_names + ["---:"] * (len(table.header) - table.num_names)
    return ["| " + " | ".join(row) + " |" for row in (table.header, rule, *table.rows)]


def to_json(evidence: Evidence) -> str:
    """Every figure with its error and its value per seed; null where there is none."""
    content = asdict(evidence) | {
        "refine": evidence.refine.model_dump(),
        "filter": evidence.filter.model_dump(),
        "bars": [asdict(bar) for bar in bars(evidence)],
    }
    return json.dumps(finite(content), indent=1, allow_nan=False)


def number(estimate: Estimate, digits: int = 3) -> str:
    """Such as "0.463 ± 0.012"; the error is one standard error over seeds."""
    if math.isnan(estimate.value):
        return "–"
    error = "" if estimate.error is None else f" ± {estimate.error:.{digits}f}"
    return f"{estimate.value:.{digits}f}{error}"


def percent(estimate: Estimate, signed: bool = False) -> str:
    """Such as "63 ± 4 %"."""
    if math.isnan(estimate.value):
        return "–"
    error = "" if estimate.error is None else f" ± {100 * estimate.error:.1f}"
    return f"{100 * estimate.value:{'+' if signed else ''}.1f}{error} %"


def _cells(group: Group, picture: str) -> list[str]:
    means = group.means[picture]
    return [number(means[metric], 1 if metric == "error" else 3) for metric in METRICS]


def _threshold(value: float, own: float) -> str:
    return "none" if value == OFF else f"{value:g}{' (profile)' if value == own else ''}"


def _settings(evidence: Evidence) -> str:
    draft = evidence.roles[REFINING]["draft"]
    return (
        f"{evidence.num_seeds} seeds of {evidence.num_pairs} pairs each; ± is one standard error over the seeds. "
        f"Drafts of the first two tables: {draft}.\n"
    )


def finite(tree: Any) -> Any:
    """The tree for JSON: null where a number is not finite."""
    if isinstance(tree, dict):
        return {str(key): finite(value) for key, value in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
