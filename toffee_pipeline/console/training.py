"""Progress of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S = 10.0
FIGURES = {
    "loss": "loss {:.4f}",
    "lr": "lr {:.2e}",
    "images_per_s": "{:.1f} images/s",
    "grad_norm": "gradient norm {:.3f}",
    "broken": "{} broken samples",
}
"""How each figure is shown, in this order."""


class ProgressLine:
    """Shows steps done of `max_steps`, the last figures, time elapsed and time left.

    The time left follows from the steps since the first update: a resumed training starts in the middle.
    """

    def __init__(self, max_steps: int, stream: TextIO | None = None) -> None:
        self._max_steps = max_steps
        self._figures: Mapping[str, float] = {}
        self._began = self._last_line = time.monotonic()
        self._first: tuple[int, float] | None = None
        """Step and time of the first update."""
        self._console = Console(file=stream or sys.stderr)
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._bar)

    def __enter__(self) -> ProgressLine:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        else:
            self._print()

    def update(self, figures: Mapping[str, float]) -> None:
        """Takes the figures of a step: `step`, and those of `FIGURES` that are known. Call it as often as you like."""
        self._figures = figures
        if self._first is None:
            self._first = (int(figures["step"]), time.monotonic())
        if self._live is None and time.monotonic() - self._last_line >= PLAIN_EVERY_S:
            self._print()

    def say(self, note: str) -> None:
        """Prints a line of its own."""
        self._console.print(note, soft_wrap=True, highlight=False, markup=False)

    def text(self) -> str:
        """The line as it stands now."""
        now, step = time.monotonic(), int(self._figures.get("step", 0))
        first_step, first_s = self._first or (step, now)
        done, left = step - first_step, "unknown"
        if done > 0 and now > first_s:
            left = _clock((self._max_steps - step) * (now - first_s) / done)
        return ", ".join(
            [
                f"{step}/{self._max_steps} steps",
                *(form.format(self._figures[name]) for name, form in FIGURES.items() if name in self._figures),
                f"{_clock(now - self._began)} elapsed",
                f"{left} left",
            ]
        )

    def _bar(self) -> Table:
        lines = Table.grid(expand=True)
        lines.add_row(ProgressBar(total=self._max_steps, completed=self._figures.get("step", 0)))
        lines.add_row(Text(self.text()))
        return lines

    def _print(self) -> None:
        self._last_line = time.monotonic()
        self._console.print(self.text(), soft_wrap=True, highlight=False, markup=False)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
