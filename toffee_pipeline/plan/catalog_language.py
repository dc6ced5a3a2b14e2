"""What of a user's own catalogue is not English, and what is left of it without that."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.plan.catalog import Catalog, SubjectClass
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.templates import literal, slots
from toffee_pipeline.plan.worded import MEDIUM, PLAIN, fill


class Foreign(NamedTuple):
    """What of a catalogue is not English.

    phrases: in order, those that a catalogue can do without: changes, and words and templates of subjects that have
        others beside them.
    classes, categories: what is never said in English: a class by its name, by all its templates or by all words of a
        slot, a category by one of its templates.
    """

    phrases: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    categories: frozenset[Category] = frozenset()


def english_only(catalog: Catalog) -> tuple[Catalog, Foreign]:
    """The catalogue without those phrases, and what of it is not English. Asks once about each phrase."""
    read = cache(is_english)

    def of_class(entry: SubjectClass) -> tuple[SubjectClass, bool]:
        """The class in English, as far as that goes, and whether it goes all the way."""
        words = {slot: tuple(filter(read, listed)) for slot, listed in entry.descriptions.items()}
        without = {slot for slot, listed in words.items() if not listed}
        said = [each for each in entry.subject_prompts if read(literal(each)) and not without & {*slots(each)}]
        kept = replace(
            entry,
            removable=tuple(filter(read, entry.removable)),
            subject_prompts=tuple(said) or entry.subject_prompts,
            descriptions={slot: listed or entry.descriptions[slot] for slot, listed in words.items()},
        )
        # alone, "lhasa apso" would not be English
        return kept, bool(said) and read(fill(PLAIN, {"medium": MEDIUM, "class": entry.name}))

    changes = {
        nature: {
            category: {name: wording for name, wording in words.items() if read(wording)}
            for category, words in of_nature.items()
        }
        for nature, of_nature in catalog.changes.items()
    }
    classes = [of_class(entry) for entry in catalog.classes]
    kept = replace(catalog, changes=changes, classes=tuple(entry for entry, _ in classes))
    return kept, Foreign(
        tuple(sorted(_phrases(catalog) - _phrases(kept))),
        frozenset(entry.name for entry, whole in classes if not whole),
        frozenset(each for each in CATEGORIES if not all(map(read, map(literal, _templates(catalog, each))))),
    )


def _templates(catalog: Catalog, category: Category) -> list[str]:
    rewritings = (text for words in catalog.draft_prompts[category] for text in words.values())
    return [catalog.prompts[category], catalog.instructions[category], *rewritings]


def _phrases(catalog: Catalog) -> set[str]:
    told = {name for of_nature in catalog.changes.values() for words in of_nature.values() for name in words}
    for entry in catalog.classes:
        told.update(entry.removable, entry.subject_prompts, *entry.descriptions.values())
    return told
