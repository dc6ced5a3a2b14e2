"""What is wrong with a prompt bank's file, and what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from toffee_pipeline.config.base import Category
from toffee_pipeline.plan.catalog import Catalog
from toffee_pipeline.plan.names import some
from toffee_pipeline.plan.prompt_row import NATURES, PromptRow

MAX_PROBLEMS = 1000


class BankCheck:
    """Passes a bank's sound rows on, once, and keeps what there is to say of all.

    Args:
        scanned: places and rows, as of `parse_rows`.
        catalog: that the bank stands beside.

    Attributes, which are complete when the rows are passed on:
        problems: a line each (the first `MAX_PROBLEMS`). num_problems: all.
        counts: sound rows by category and whom they apply to; "classes" where they name them.
    """

    def __init__(self, scanned: Iterable[tuple[str, PromptRow | ValueError]], catalog: Catalog) -> None:
        self._scanned = scanned
        self._classes = {entry.name for entry in catalog.classes}
        self.problems: list[str] = []
        self.num_problems = 0
        self.counts: Counter[tuple[Category, str]] = Counter()

    def __iter__(self) -> Iterator[PromptRow]:
        for place, row in self._scanned:
            problem = str(row) if isinstance(row, ValueError) else self._lost(row)
            if problem:
                self.num_problems += 1
                if len(self.problems) < MAX_PROBLEMS:
                    self.problems.append(f"{place}: {problem}")
            if isinstance(row, PromptRow):
                applies = row.applies_to if isinstance(row.applies_to, str) else "classes"
                self.counts[row.category, applies] += 1
                yield row

    def _lost(self, row: PromptRow) -> str | None:
        """What the row asks for and no subject can have."""
        unknown = (
            [name for name in row.applies_to if name not in self._classes] if row.applies_to not in NATURES else []
        )
        return f"applies_to: the catalogue has no class {some(unknown)}" if unknown else None
