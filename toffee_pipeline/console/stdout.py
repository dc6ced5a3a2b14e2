"""rich's console, for tables and displays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from toffee_pipeline.printable import printable


class PlainConsole(Console):
    """Reads no markup, and shows text as `printable` does."""

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__(file=file, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = _lines(segment.text)
            yield segment if segment.control or text == segment.text else Segment(text, segment.style)


def _lines(text: str) -> str:
    """Each as `printable`."""
    return "\n".join(map(printable, text.split("\n")))


class Stdout(PlainConsole):
    """Leaves it to the job what to do when nobody reads any more; rich would exit with code 1."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that rich has caught
