"""The rows that are there before an expansion: its examples, and what it must not repeat."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from toffee_pipeline.errors import ConfigError
from toffee_pipeline.expansion.ask import Cell, nature_of
from toffee_pipeline.plan.catalog import Catalog
from toffee_pipeline.plan.prompt_row import NATURES, PromptRow


def check_classes(cells: Iterable[Cell], catalog: Catalog) -> None:
    """Raises ConfigError where a quota is for a class that the catalogue lacks."""
    names = [entry.name for entry in catalog.classes]
    for cell in cells:
        if cell.applies_to not in NATURES and cell.applies_to not in names:
            close = difflib.get_close_matches(cell.applies_to, names, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"class_quotas.{cell.applies_to}: the catalogue has no such class{meant}")


def known_rows(cells: Iterable[Cell], catalog: Catalog, bank: Iterable[PromptRow]) -> dict[Cell, list[str]]:
    """The changes that may happen to those of each cell, of catalogue and bank, each once."""
    rows = list(bank)
    return {cell: list(dict.fromkeys(_changes(cell, catalog, rows))) for cell in cells}


def _changes(cell: Cell, catalog: Catalog, rows: Iterable[PromptRow]) -> Iterator[str]:
    category, applies_to = cell
    is_class = applies_to not in NATURES
    nature = nature_of(catalog.entry(applies_to).live) if is_class else applies_to
    if category == "removal":
        yield from catalog.entry(applies_to).removable
    yield from catalog.changes[nature].get(category, {}).values()
    for row in rows:
        general = row.applies_to in ("any", nature)
        if row.category == category and (general or (is_class and applies_to in row.applies_to)):
            yield row.change
