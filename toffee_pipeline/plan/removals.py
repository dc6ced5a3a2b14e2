"""Removal pairs that are addition pairs turned round: the target is then an untouched picture of the subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toffee_pipeline.config.base import Category

Change = tuple[Category, str]
"""The category of a pair, and what changes."""


def turn_round(
    changes: Sequence[Change],
    categories: Sequence[Category],
    draw: Callable[[int, Sequence[Category]], Change],
) -> tuple[list[Change], list[int | None]]:
    """The changes of a subject's edit pairs, in which every removal removes what another of them adds.

    A removal takes an addition that no other one takes; where there is none, the subject's first pair that is neither
    becomes one. A removal that is left alone becomes a pair of another category: a subject with one edit pair has none.

    Args:
        changes: as drawn. categories: those that have a change for the subject.
        draw: draws the change of pair `index` again, among some categories.

    Returns:
        The changes, and for each removal the index of its addition, None for the others.
    """
    changed = list(changes)
    sources: list[int | None] = [None] * len(changes)
    free = [index for index, (category, _) in enumerate(changes) if category == "addition"]
    others = [index for index, (category, _) in enumerate(changes) if category not in ("addition", "removal")]
    removals = [index for index, (category, _) in enumerate(changes) if category == "removal"]
    while removals:
        index = removals.pop(0)
        if not free and (others or removals):
            source = others.pop(0) if others else removals.pop(0)
            changed[source] = draw(source, ("addition",))
            free.append(source)
        if free:
            source = free.pop(0)
            sources[index] = source
            changed[index] = ("removal", changed[source][1])
        else:
            rest = tuple(name for name in categories if name != "removal")
            changed[index] = draw(index, rest)
    return changed, sources
