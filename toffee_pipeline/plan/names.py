"""Paths of the user's files, and other names, in a line of text."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

SHOWN = 3


def one_line(path: str) -> str:
    """The path on one line, whatever its name holds."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def few(paths: Collection[str]) -> str:
    """The first of the paths, and how many more there are."""
    return some(sorted(paths), one_line)


def some(words: Sequence[str], spelled: Callable[[str], str] = str) -> str:
    """The first of the words, in their order, and how many more there are."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(map(spelled, words[:SHOWN])) + more
