"""The evidence as one HTML page that asks for no network and no script."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.evidence_refiner import Example
from benchmarks.evidence_tables import LABELS, REFINING, SYMBOLS, Evidence, bars, tables
from benchmarks.evidence_yield import bounds
from toffee_pipeline.charts.chart import Chart, Series
from toffee_pipeline.evaluation.estimate import Estimate
from toffee_pipeline.evaluation.judge import METRICS, PICTURES
from toffee_pipeline.images import encode_png
from toffee_pipeline.templates import load_template

TEMPLATE = Path(__file__).parent / "templates" / "evidence.html"
STYLES = ("first", "second", "third")
FIFTHS = [(place / 5, f"{place / 5:.1f}") for place in range(6)]


def render_page(evidence: Evidence, examples: Sequence[Example]) -> str:
    """The page as HTML."""
    main, sweep, edits, overlap, joint, yields = tables(evidence)
    return load_template(TEMPLATE).render(
        evidence=evidence,
        bars=bars(evidence),
        draft_by=evidence.roles[REFINING]["draft"],
        main=main,
        sweep=sweep,
        edits=edits,
        filters=[overlap, joint],
        yields=yields,
        main_charts=_main_charts(evidence),
        sweep_charts={SYMBOLS[key]: _sweep_charts(evidence, key) for key in evidence.sweeps},
        yield_charts=_yield_charts(evidence),
        examples=[
            (example, [(name, _data_uri(image)) for name, image in example.images.items()]) for example in examples
        ],
    )


def _main_charts(evidence: Evidence) -> list[Chart]:
    """One chart per metric: a series for all pairs and for each category, side by side."""
    names = list(evidence.groups)
    charts = []
    for metric in METRICS:
        series = []
        for number, (name, group) in enumerate(evidence.groups.items()):
            shift = 0.16 * (number - (len(names) - 1) / 2)
            points = [_point(place + shift, group.means[picture][metric]) for place, picture in enumerate(PICTURES)]
            series.append(Series(name, STYLES[number % len(STYLES)], points))
        charts.append(Chart(LABELS[metric], series, list(enumerate(PICTURES)), inset=0.17))
    return charts


def _sweep_charts(evidence: Evidence, key: str) -> list[Chart]:
    """One chart per metric over the values of one setting, between the levels of draft and oracle."""
    values, whole = evidence.sweeps[key], evidence.groups["all"]
    return [
        Chart(
            LABELS[metric],
            [
                Series(
                    "refined",
                    "first",
                    [_point(value, groups["all"].means["refined"][metric]) for value, groups in values.items()],
                )
            ],
            [(value, f"{value:g}") for value in values],
            x_label=SYMBOLS[key],
            levels=[(whole.means[picture][metric].value, picture) for picture in ("draft", "oracle")],
            marks=[getattr(evidence.refine, key)],
        )
        for metric in METRICS
    ]


def _yield_charts(evidence: Evidence) -> list[Chart]:
    """Share kept over the threshold, one chart per filter."""
    own = dict(zip(("dino", "clip"), bounds(evidence.filter), strict=True))
    charts = []
    for name, groups in evidence.curves.items():
        series = []
        for (label, estimates), style in zip(groups.items(), STYLES, strict=True):
            points = zip(evidence.thresholds, estimates, strict=True)
            known = [_point(value, estimate) for value, estimate in points if not math.isnan(estimate.value)]
            series.append(Series(label, style, known, band=True))
        title = f"pairs kept by {name.upper()} alone"
        charts.append(Chart(title, series, FIFTHS, f"min_{name}", marks=[own[name]], y_range=(0, 1), as_percent=True))
    return charts


def _point(x: float, estimate: Estimate) -> tuple[float, float, float | None]:
    return x, estimate.value, estimate.error


def _data_uri(image: np.ndarray) -> str:
    return f"data:image/png;base64,{base64.b64encode(encode_png(image, 9)).decode()}"
