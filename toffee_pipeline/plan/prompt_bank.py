"""A prompt bank as a plan draws from it: the changes that stand beside a catalogue's own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from toffee_pipeline.config.base import Category
from toffee_pipeline.plan.benchmark_prompts import is_benchmark_prompt
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.prompt_row import NATURES, PromptRow
from toffee_pipeline.plan.templates import literal

PACKAGED: dict[str, Path] = {path.stem: path for path in sorted((Path(__file__).parent / "prompt_banks").glob("*"))}
"""The banks that come with the package, by their names."""


class PromptBank:
    """The rows that a plan may draw; of several with one category and change the first. Held in memory: what they
    change, and of those that differ from the catalogue's templates all.

    Args:
        rows: of a bank's file, in its order.
        allow_benchmark_prompts: False leaves out what `is_benchmark_prompt` knows.
        refuse_other_languages: leaves out what is not English.
        checked: no row is a benchmark's or not English, which takes a second to see; so are those of the package.

    Attributes:
        digest: of the rows that are drawn from, in their order, whatever the form of their file.
        origins: how many of them are of whom, and under which licence: (source, license) as in a row.
        notes: lines for the user about what is left out, or would be.
    """

    def __init__(
        self,
        rows: Iterable[PromptRow] = (),
        allow_benchmark_prompts: bool = False,
        refuse_other_languages: bool = True,
        checked: bool = False,
    ) -> None:
        self._changes: dict[tuple[Category, str], dict[str, None]] = {}
        self._own: dict[tuple[Category, str], PromptRow] = {}
        self.origins: Counter[tuple[str, str]] = Counter()
        known: set[tuple[Category, str]] = set()
        counts: Counter[str] = Counter()
        digest = hashlib.sha256()
        for row in rows:
            key = row.category, row.change
            foreign = not checked and not is_english_row(row)
            counts["not in English"] += foreign
            if foreign and refuse_other_languages:
                continue
            if key in known:
                counts["with a change that an earlier row has"] += 1
                continue
            if not checked and not allow_benchmark_prompts and is_benchmark_row(row):
                counts["of DreamBench's prompts (evaluation.allow_benchmark_prompts)"] += 1
                continue
            known.add(key)
            self.origins[row.source, row.license] += 1
            digest.update(row.model_dump_json(exclude_defaults=True).encode() + b"\n")
            for name in (row.applies_to,) if isinstance(row.applies_to, str) else row.applies_to:
                self._changes.setdefault((row.category, name), {})[row.change] = None
            if row.prompt or row.draft_prompts or row.instruction or row.edit_region:
                self._own[key] = row
        self._num_rows, self.digest = len(known), digest.hexdigest()
        self.notes = tuple(_notes(counts, refuse_other_languages))

    def __len__(self) -> int:
        return self._num_rows

    def changes(self, class_name: str, live: bool, category: Category) -> tuple[str, ...]:
        """Those of the category that suit a class."""
        names = ("any", "live" if live else "object", class_name)
        return tuple(dict.fromkeys(change for name in names for change in self._changes.get((category, name), ())))

    def own_classes(self, category: Category) -> set[str]:
        """The classes that rows of the category name."""
        return {name for of_category, name in self._changes if of_category == category and name not in NATURES}

    def own(self, category: Category, change: str) -> PromptRow | None:
        """The row of this change where it has a template or an edit region of its own."""
        return self._own.get((category, change))


def is_benchmark_row(row: PromptRow) -> bool:
    """Whether the row's change is a benchmark's, or what its own template says of it is."""
    prompt = None if row.prompt is None else row.prompt.replace("{change}", row.change)
    return any(is_benchmark_prompt(text, row.category) for text in (row.change, prompt) if text is not None)


def is_english_row(row: PromptRow) -> bool:
    """Whether the row's change and its own templates are English, or a filter said so."""
    templates = [row.prompt, row.instruction, *(text for words in row.draft_prompts or () for text in words.values())]
    return row.verdicts.get("other_language") == "passed" or all(
        map(is_english, (row.change, *(literal(template) for template in templates if template is not None)))
    )


def _notes(counts: Counter[str], refuse_other_languages: bool) -> Iterable[str]:
    for what, number in counts.items():
        if number:
            left = "left out" if refuse_other_languages or what != "not in English" else "drawn from"
            yield f"pairs.prompt_bank: {number:,} rows {what} are {left}"
