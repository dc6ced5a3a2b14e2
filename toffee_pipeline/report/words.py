"""The templates of a run's pages, and how they write numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Template

from toffee_pipeline.templates import load_template

TEMPLATES = Path(__file__).parent / "templates"


@cache
def load(name: str) -> Template:
    """A template of this folder, compiled once, whose filters are the functions below."""
    return load_template(TEMPLATES / name, thousands=thousands, share=share, score=score, seconds=seconds, words=words)


def thousands(number: int) -> str:
    return f"{number:,}"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def score(value: float) -> str:
    return f"{value:.2f}"


def seconds(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:,.1f} h"
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.3g} s"


def words(name: str) -> str:
    """A column's name to be read."""
    return name.replace("_", " ")
