"""Tables wider than a terminal, as lines that no terminal cuts and that `grep` and `sort` read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console


def print_columns(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column is of words, the others of numbers; two words of a heading stand below each other."""
    above = [word.rpartition(" ")[0] for word in header]
    below = [word.rpartition(" ")[2] for word in header]
    widths = [max(map(len, column)) for column in zip(above, below, *rows, strict=True)]
    for row in [*([above] if any(above) else []), below, *rows]:
        first, *rest = row
        cells = [first.ljust(widths[0]), *(word.rjust(width) for word, width in zip(rest, widths[1:], strict=True))]
        console.out("  ".join(cells).rstrip())
