"""The one way to fill in a template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape


def load_template(path: Path, **filters: Callable[..., Any]) -> Template:
    """The template of a file; what fills it in is escaped where the file is HTML, and nothing may be missing.

    Raises when rendered: jinja2.UndefinedError, for a value that the template has no argument for.
    """
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment.get_template(path.name)
