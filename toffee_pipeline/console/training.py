"""Progress of a training, and of filling its cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from toffee_pipeline.console.progress import ProgressDisplay

FIGURES = {
    "loss": "loss {:.4f}",
    "lr": "lr {:.2e}",
    "images_per_s": "{:.1f} images/s",
    "grad_norm": "gradient norm {:.3f}",
    "broken": "{} broken samples",
    "too_small": "{} too small",
}
"""How each figure is shown, in this order."""


class TrainingDisplay(ProgressDisplay):
    """Shows steps done of `max_steps`, the last figures, time elapsed and time left.

    The time left follows from the steps since the first update: a resumed training starts in the middle.
    """

    def __init__(self, max_steps: int, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, now)
        self._max_steps = max_steps
        self._figures: Mapping[str, float] = {}
        self._first: tuple[int, float] | None = None
        """Step and time of the first update."""

    def update(self, figures: Mapping[str, float]) -> None:
        """Takes the figures of a step: `step`, and those of `FIGURES` that are known. Call it as often as you like."""
        self._figures = figures
        if self._first is None:
            self._first = (int(figures["step"]), self.now())
        self.refresh()

    def line(self) -> str:
        now, step = self.now(), int(self._figures.get("step", 0))
        first_step, first_s = self._first or (step, now)
        return ", ".join(
            [
                f"{step}/{self._max_steps} steps",
                *(form.format(self._figures[name]) for name, form in FIGURES.items() if name in self._figures),
                self.times(self._max_steps - step, step - first_step, now - first_s),
            ]
        )

    def picture(self) -> Table:
        lines = Table.grid(expand=True)
        lines.add_row(ProgressBar(total=self._max_steps, completed=self._figures.get("step", 0)))
        lines.add_row(Text(self.line()))
        return lines


class CacheDisplay(ProgressDisplay):
    """Shows how far filling the cache has come. Call it after each file."""

    def __init__(self, num_files: int, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, now)
        self._num_files, self._done = num_files, 0

    def __call__(self) -> None:
        self._done += 1
        self.refresh()

    def line(self) -> str:
        left = self._num_files - self._done
        return f"cache: {self._done}/{self._num_files} files, {self.times(left, self._done, self.elapsed_s())}"
