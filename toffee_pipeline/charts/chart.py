"""Line charts as SVG for the project's pages, which style them: no plotting library is a dependency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toffee_pipeline.templates import load_template

TEMPLATE = Path(__file__).parent / "templates" / "chart.html"
WIDTH, HEIGHT = 300, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 10, 40
"""Margins around the plot in units of the drawing, for the ticks' labels."""


@dataclass(frozen=True)
class Series:
    """Points (x, y, error of y) of one colour; `style` is a CSS class. band: the error as an area, not as bars.

    names: of the points, written beside them; none, or one each.
    """

    label: str
    style: str
    points: Sequence[tuple[float, float, float | None]]
    band: bool = False
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """levels: (y, CSS class) of dashed lines across; marks: x of dashed lines up. y_range: None fits the data.

    inset: distance of the outer ticks from the frame, as a share of its width.
    """

    title: str
    series: Sequence[Series]
    x_ticks: Sequence[tuple[float, str]]
    x_label: str = ""
    levels: Sequence[tuple[float, str]] = ()
    marks: Sequence[float] = ()
    y_range: tuple[float, float] | None = None
    as_percent: bool = False
    inset: float = 0.05

    def svg(self) -> str:
        """A `figure` element."""
        return load_template(TEMPLATE).render(chart=self)

    @property
    def size(self) -> tuple[int, int]:
        return WIDTH, HEIGHT

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom of the plot."""
        return LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM

    def x(self, value: float) -> float:
        """Place of a value from the left."""
        places = [place for place, _ in self.x_ticks]
        spread = (max(places) - min(places)) or 1.0
        share = self.inset + (1 - 2 * self.inset) * (value - min(places)) / spread
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)

    def y(self, value: float) -> float:
        """Place of a value from the top; what lies beyond the frame, such as an error bar's end, ends there."""
        low, high = self.limits()
        value = min(max(value, low), high)
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 2)

    def limits(self) -> tuple[float, float]:
        """Least and greatest y of the frame."""
        if self.y_range:
            return self.y_range
        ends = [level for level, _ in self.levels]
        for series in self.series:
            for _, value, error in series.points:
                ends += [value - (error or 0), value + (error or 0)]
        low, high = min(ends), max(ends)
        margin = 0.08 * (high - low) or 0.5
        return low - margin, high + margin

    def y_ticks(self) -> list[tuple[float, str]]:
        """Place and label of round values."""
        low, high = self.limits()
        step = _round_step((high - low) / 5)
        digits = max(0, -math.floor(math.log10(step)))
        values = [count * step for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if self.as_percent:
            return [(self.y(value), f"{100 * value:.0f} %") for value in values]
        return [(self.y(value), f"{value:.{digits}f}") for value in values]

    def drawn(self, series: Series) -> dict[str, object]:
        """path: "x,y x,y" of the line; band: of the area; dots: (x, y, upper end, lower end, name) of each point."""
        points = [(x, y, error or 0.0) for x, y, error in series.points]
        upper = [f"{self.x(x)},{self.y(y + error)}" for x, y, error in points]
        lower = [f"{self.x(x)},{self.y(y - error)}" for x, y, error in points]
        return {
            "path": " ".join(f"{self.x(x)},{self.y(y)}" for x, y, _ in points),
            "band": " ".join([*upper, *reversed(lower)]),
            "dots": [
                (self.x(x), self.y(y), self.y(y + error), self.y(y - error), name)
                for (x, y, error), name in zip(points, series.names or [""] * len(points), strict=True)
            ],
        }


def round_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """Places and labels on whole steps that reach from below the least value to above the greatest: ticks for x."""
    low, high = min(values), max(values)
    step = _round_step(max(high - low, 1e-3) / 4)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [(count * step, f"{count * step:g}") for count in range(first, last + 1)]


def _round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
