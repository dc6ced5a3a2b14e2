"""How many different prompts a catalogue has room for, by counting, and how many of them draws find."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from toffee_pipeline.plan.catalog import Catalog, SubjectClass
from toffee_pipeline.plan.templates import slots
from toffee_pipeline.plan.worded import MEDIUM


def room(entry: SubjectClass) -> tuple[int, ...]:
    """How many subject prompts each template of the class gives, drawn as `Catalog.subject_prompt` draws them."""
    spoken = {"medium": MEDIUM, "class": entry.name}
    return tuple(
        _ways(
            tuple(entry.descriptions[slot] for slot in slots(template) if slot not in spoken),
            frozenset(spoken.values()),
        )
        for template in entry.subject_prompts
    )


def distinct(draws: float, size: int) -> float:
    """About how many different ones there are among so many draws of `size` that are alike: s (1 - (1 - 1/s)^n)."""
    if size < 2:
        return min(draws, float(size))
    return -size * math.expm1(draws * math.log1p(-1 / size))


def distinct_subjects(catalog: Catalog, draws: Mapping[str, float]) -> float:
    """About how many different subject prompts there are among so many draws of each class."""
    rooms = {name: room(catalog.entry(name)) for name in draws}
    return sum(distinct(draws[name] / len(sizes), size) for name, sizes in rooms.items() for size in sizes)


@lru_cache(maxsize=4096)
def _ways(lists: tuple[tuple[str, ...], ...], taken: frozenset[str]) -> int:
    """Ways to take a word of each list, in their order, where one that is taken is left out while there is another."""
    if not lists:
        return 1
    first, rest = lists[0], lists[1:]
    later = {word for words in rest for word in words}
    free = [word for word in first if word not in taken] or first
    shared = [word for word in free if word in later]
    known = taken & later  # no other word matters, so that most calls are the same
    return sum(_ways(rest, known | {word}) for word in shared) + (len(free) - len(shared)) * _ways(rest, known)
