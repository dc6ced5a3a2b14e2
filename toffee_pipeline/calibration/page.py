"""A calibration as one HTML page that asks for no network and no script: what each setting costs and gives."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from toffee_pipeline.calibration.choose import MEASURES, Choice
from toffee_pipeline.calibration.record import Calibration
from toffee_pipeline.calibration.results import SIMILARITY, PairResult, verdicts
from toffee_pipeline.calibration.said import SCORES, percent, sentence
from toffee_pipeline.calibration.sweep import ALL, Sweep
from toffee_pipeline.calibration.thresholds import GRID, Proposal, shares_below, shares_kept
from toffee_pipeline.charts.chart import Chart, Series, round_ticks
from toffee_pipeline.config.base import CATEGORIES, Kind
from toffee_pipeline.evaluation.estimate import Estimate
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.templates import load_template

TEMPLATE = Path(__file__).parent / "templates" / "calibration.html"
KINDS: tuple[Kind, ...] = ("generation", "edit")
MAX_SHOWN = 12
"""Pairs of a kind that contact sheets show."""


@dataclass(frozen=True)
class Cell:
    """A pair's picture under one setting; src is None where it has none."""

    src: str | None
    accepted: bool
    title: str


@dataclass(frozen=True)
class Strip:
    """The contact sheet of one setting: a row of pictures."""

    name: str
    drafts: Sequence[Cell]
    targets: Sequence[Cell]


def choose_shown(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs of contact sheets: of each kind some of every category in turn, none that turns another one round."""
    shown: list[Pair] = []
    for kind in KINDS:
        groups = [
            [pair for pair in pairs if (pair.kind, pair.category, pair.reversed_from) == (kind, category, None)]
            for category in CATEGORIES
        ]
        in_turn = [pair for row in zip_longest(*groups) for pair in row if pair is not None]
        shown += in_turn[:MAX_SHOWN]
    return shown


def render_page(found: Calibration) -> str:
    """The page as HTML; every text from a run is escaped."""
    before, after, gain = found.compared()
    shown = choose_shown(found.pairs)
    return load_template(TEMPLATE, percent=percent, number=_number).render(
        found=found,
        settings=found.run.config.calibration,
        before=before,
        after=after,
        gain=gain,
        measures=MEASURES,
        sweeps=[
            (sweep, _charts(sweep), _heads(sweep, shown, found), _strips(sweep, shown, found))
            for sweep in found.sweeps
            if sweep.choices
        ],
        idle=[sweep.knob.label for sweep in found.sweeps if not sweep.choices],
        thresholds=[
            (sentence(each, found.run.config.stages.judge), _threshold_chart(each)) for each in found.proposals
        ],
    )


def _charts(sweep: Sweep) -> list[Chart]:
    """What one score costs in another, a curve per group whose points are the values in order; and what is accepted."""
    choices = {name: choice for name, choice in sweep.choices.items() if _has_figures(choice)}
    charts = []
    for measure in (SIMILARITY, "dino"):
        series = [
            Series(
                name,
                name,
                [
                    (each.means["clip"].value, each.means[measure].value, each.means[measure].error)
                    for each in choice.figures.values()
                ],
                names=[f"{value:g}" for value in choice.figures],
            )
            for name, choice in choices.items()
        ]
        if series:
            ticks = round_ticks([x for each in series for x, _, _ in each.points])
            charts.append(Chart(f"{MEASURES[measure]} over CLIP", series, ticks, "CLIP of target and prompt"))
    values = sorted({value for choice in sweep.choices.values() for value in choice.figures})
    series = [
        Series(name, name, [(value, *_point(each.accepted)) for value, each in choice.figures.items()])
        for name, choice in sweep.choices.items()
    ]
    ticks = [(value, f"{value:g}") for value in values]
    charts.append(Chart("accepted", series, ticks, sweep.knob.label, as_percent=True))
    return charts


def _threshold_chart(proposal: Proposal) -> Chart | None:
    """Shares kept of the true pairs and refused of the false ones over the threshold."""
    cosines = proposal.cosines
    known = [*cosines.true, *cosines.false]
    if not known:
        return None
    inside = (min(known) - 0.02 <= GRID) & (max(known) + 0.02 >= GRID)
    parts = (
        ("true pairs kept", "kept", cosines.true, shares_kept),
        ("false pairs refused", "refused", cosines.false, shares_below),
    )
    series = [
        Series(
            label,
            style,
            [(float(x), float(y), None) for x, y in zip(GRID[inside], shares(values)[inside], strict=True)],
            band=True,
        )
        for label, style, values, shares in parts
        if values
    ]
    marks = [each for each in (proposal.threshold,) if each is not None]
    ticks = round_ticks([float(value) for value in GRID[inside]])
    levels = [(proposal.share, proposal.bar)]
    return Chart(SCORES[proposal.key], series, ticks, proposal.key, levels, marks, (0, 1), as_percent=True)


def _heads(sweep: Sweep, shown: Sequence[Pair], found: Calibration) -> list[tuple[Pair, str]]:
    """The pairs above the strips, with their subjects' pictures."""
    return [(pair, _uri(found.images[pair.subject_id])) for pair in _of(sweep, shown)]


def _strips(sweep: Sweep, shown: Sequence[Pair], found: Calibration) -> list[Strip]:
    """A contact sheet per setting; with the drafts where they follow from it."""
    choice = sweep.choices.get(ALL)
    strips = []
    for value, results in sweep.trials.items():
        if value is None and choice is not None:
            if choice.own in sweep.trials:
                continue  # it stands under its value
            value = choice.own
        tags = ["own" * (value == choice.own), "chosen" * (value == choice.value)] if choice else []
        name = "own" if value is None else f"{sweep.knob.label} = {value:g}"
        accepted = verdicts(found.pairs, results, found.judge)
        pairs = _of(sweep, shown)
        strips.append(
            Strip(
                ", ".join(filter(None, (name, *tags))),
                [_cell(results[pair.pair_id], "draft", False) for pair in pairs] if sweep.knob.stage == "draft" else [],
                [_cell(results[pair.pair_id], "target", accepted[pair.pair_id]) for pair in pairs],
            )
        )
    return strips


def _of(sweep: Sweep, shown: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in shown if pair.pair_id in sweep.touched][:MAX_SHOWN]


def _cell(result: PairResult, part: str, accepted: bool) -> Cell:
    data: bytes | None = getattr(result, part)
    scores = ", ".join(
        f"{label} {result.scores[name]:.2f}" for name, label in MEASURES.items() if name in result.scores
    )
    verdict = result.lost or f"{'accepted' if accepted else 'not accepted'}: {scores}"
    return Cell(_uri(data) if data else None, accepted, "draft" if part == "draft" else verdict)


def _uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _has_figures(choice: Choice) -> bool:
    return all(each.means["clip"].value == each.means["clip"].value for each in choice.figures.values())


def _point(estimate: Estimate) -> tuple[float, float | None]:
    return estimate.value, estimate.error


def _number(estimate: Estimate) -> str:
    """NaN where nothing has the score under every value."""
    if estimate.value != estimate.value:
        return "–"
    return f"{estimate.value:.3f}" + ("" if estimate.error is None else f" ± {estimate.error:.3f}")
