"""What `jobs/catalog.py` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.console.columns import print_columns
from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.plan.catalog import Catalog
from toffee_pipeline.plan.names import some
from toffee_pipeline.plan.prompt_row import NATURES
from toffee_pipeline.plan.room import room

MAX_LINES = 100
APPLIES = (*NATURES, "classes")
FEW = 2000
"""Subject prompts of a class; below, a run of millions repeats them often."""


def print_problems(name: str, problems: Sequence[str], num_problems: int | None = None) -> None:
    """A line per problem (the first `MAX_LINES`). num_problems: with those that no line was kept of; None: there are
    no others."""
    console = Stdout()
    total = len(problems) if num_problems is None else num_problems
    for problem in problems[:MAX_LINES]:
        console.out(f"{name}: {problem}")
    if total > MAX_LINES:
        console.out(f"... and {total - MAX_LINES:,} more problems")


def print_bank(counts: Mapping[tuple[Category, str], int], notes: Sequence[str]) -> None:
    """How many rows of each category a prompt bank has and whom they apply to, and what no plan draws from."""
    console = Stdout()
    rows = [
        [category, *(f"{counts.get((category, applies), 0):,}" for applies in APPLIES)]
        for category in CATEGORIES
        if any(counts.get((category, applies)) for applies in APPLIES)
    ]
    print_columns(console, ["category", *APPLIES], rows)
    console.out(f"{sum(counts.values()):,} rows")
    for note in notes:
        console.out(note)


def print_bank_samples(catalog: Catalog, num_samples: int, seed: int) -> None:
    """Changes of the catalogue's bank, as prompts and orders."""
    console, rng = Stdout(), np.random.default_rng(seed)
    possible = [
        (entry, category, changes)
        for entry in catalog.classes
        for category in CATEGORIES
        if (changes := catalog.bank.changes(entry.name, entry.live, category))
    ]
    for _ in range(num_samples if possible else 0):
        entry, category, changes = possible[int(rng.integers(len(possible)))]
        change = changes[int(rng.integers(len(changes)))]
        console.out(f"  {category}: {catalog.prompt(entry.name, category, change)}")
        console.out(f"    {catalog.instruction(entry.name, category, change)}")


def print_catalog(catalog: Catalog, num_samples: int, seed: int) -> None:
    """What the catalogue holds, class by class, and samples of its prompts."""
    console = Stdout()
    rooms = {entry.name: sum(room(entry)) for entry in catalog.classes}
    print_columns(console, ["class", "nature", "subject prompts", *CATEGORIES], _rows(catalog, rooms))
    num_live = sum(entry.live for entry in catalog.classes)
    console.out(
        f"{len(rooms)} classes, {num_live} of them live; {sum(rooms.values()):,} different subject prompts, "
        f"{min(rooms.values()):,} of the class with fewest",
    )
    for line in _notes(catalog, rooms):
        console.out(line)
    rng = np.random.default_rng(seed)
    for _ in range(num_samples):
        entry = catalog.classes[int(rng.integers(len(catalog.classes)))]
        prompt = catalog.subject_prompt(entry.name, rng)
        possible = {category: found for category in CATEGORIES if (found := catalog.choices(entry.name, category))}
        console.out(f"  {prompt}")
        if possible:
            category = tuple(possible)[int(rng.integers(len(possible)))]
            change = possible[category][int(rng.integers(len(possible[category])))]
            changed = catalog.draft_prompt(entry.name, prompt, category, change)
            console.out(f"    {category}: {changed}")


def _rows(catalog: Catalog, rooms: Mapping[str, int]) -> list[list[str]]:
    return [
        [
            entry.name,
            "live" if entry.live else "object",
            f"{rooms[entry.name]:,}",
            *(str(len(catalog.choices(entry.name, category))) for category in CATEGORIES),
        ]
        for entry in catalog.classes
    ]


def _notes(catalog: Catalog, rooms: Mapping[str, int]) -> list[str]:
    lines = []
    for category in CATEGORIES:
        without = [name for name in rooms if not catalog.choices(name, category)]
        if without:
            lines.append(f"{category}: no change for {some(without)}")
    if narrow := [name for name, number in rooms.items() if number < FEW]:
        lines.append(f"fewer than {FEW:,} different subject prompts: {some(narrow)}")
    return lines
