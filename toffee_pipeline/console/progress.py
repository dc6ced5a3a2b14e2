"""Progress of anything: drawn anew in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self, TextIO

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from toffee_pipeline.console.clock import clock
from toffee_pipeline.console.stdout import PlainConsole

PLAIN_EVERY_S = 10.0


class ProgressDisplay(ABC):
    """A context manager. A subclass says what is shown, and calls `refresh` after each change.

    Args:
        stream: stderr by default.
        now: seconds since any moment.
    """

    def __init__(self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._began = self._last_line = now()
        self._console = PlainConsole(stream or sys.stderr)
        self._live: Live | None = None

    @abstractmethod
    def line(self) -> str:
        """All in one line, as it stands now."""

    def picture(self) -> RenderableType:
        """What a terminal shows."""
        return Text(self.line())

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self.picture)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        else:
            self.say(self.line())

    def refresh(self) -> None:
        """Prints the plain line where one is due. Call it as often as you like; a terminal is drawn by itself."""
        if not self._live and self.now() - self._last_line >= PLAIN_EVERY_S:
            self._last_line = self.now()
            self.say(self.line())

    def say(self, note: str) -> None:
        """Prints a line of its own."""
        self._console.print(note, soft_wrap=True)

    def elapsed_s(self) -> float:
        return self.now() - self._began

    def times(self, left: float, done: float, took_s: float) -> str:
        """Time elapsed, and the time left if `done` things took `took_s` and as many as `left` are to come."""
        left_s = clock(left * took_s / done) if done > 0 and took_s > 0 else "unknown"
        return f"{clock(self.elapsed_s())} elapsed, {left_s} left"
