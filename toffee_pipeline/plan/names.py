"""Paths of the user's files in a line of text."""

from __future__ import annotations

import os
from collections.abc import Collection

SHOWN = 3


def one_line(path: str) -> str:
    """The path on one line, whatever its name holds."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def few(paths: Collection[str]) -> str:
    """The first of the paths, and how many more there are."""
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(map(one_line, sorted(paths)[:SHOWN])) + more
