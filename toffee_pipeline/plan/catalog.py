"""Classes and prompts of a run: a YAML file of words and templates, checked when it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from toffee_pipeline.config.base import CATEGORIES, Category, EditRegion
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.plan.catalog_file import parse_catalog
from toffee_pipeline.plan.prompt_bank import PromptBank
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.plan.templates import SPOKEN, slots
from toffee_pipeline.plan.worded import MEDIUM, PLAIN, definite, fill, rewrite, take_apart

__all__ = ["PACKAGED", "Catalog", "CatalogError", "SubjectClass", "load_catalog"]

PACKAGED: tuple[str, ...] = tuple(sorted(path.stem for path in (Path(__file__).parent / "catalogs").glob("*.yaml")))
"""Names of the catalogues that come with the package."""


NO_BANK = PromptBank()


@dataclass(frozen=True)
class SubjectClass:
    """One class. name: as in a prompt ("golden retriever"). removable: phrases that follow "without" ("a handle").

    subject_prompts: templates of prompts for subject synthesis; descriptions: the words for each of their slots.
    """

    name: str
    live: bool = False
    removable: tuple[str, ...] = ()
    subject_prompts: tuple[str, ...] = (PLAIN,)
    descriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalog:
    """Classes, changes and prompts. A class name that is not in it counts as an object without removable parts.

    changes: for "live" and "object", for each category but removal: change -> how a prompt words it.
    prompts: the template of each category. draft_prompts: what the change of each category replaces in the subject's
    prompt (`worded.rewrite`). instructions: the template of each category's change as an order. digest: sha256 of the
    file. bank: changes that stand beside the catalogue's own.
    """

    classes: tuple[SubjectClass, ...]
    changes: Mapping[str, Mapping[Category, Mapping[str, str]]]
    prompts: Mapping[Category, str]
    draft_prompts: Mapping[Category, tuple[Mapping[str, str], ...]]
    instructions: Mapping[Category, str]
    digest: str
    bank: PromptBank = NO_BANK

    @cached_property
    def _by_name(self) -> dict[str, SubjectClass]:
        return {entry.name: entry for entry in self.classes}

    def entry(self, class_name: str) -> SubjectClass:
        """The class of this name; for a name that is not in the catalogue a plain object."""
        return self._by_name.get(class_name) or SubjectClass(class_name)

    def subject_prompt(self, class_name: str, rng: np.random.Generator) -> str:
        """Draw the prompt of one subject: "a photo of a small red ceramic teapot on a wooden table".

        Two slots get different words where the lists allow it, and the same state of `rng` gives the same prompt.
        """
        entry = self.entry(class_name)
        template = entry.subject_prompts[int(rng.integers(len(entry.subject_prompts)))]
        words = {"medium": MEDIUM, "class": class_name}
        for slot in slots(template):
            if slot not in words:
                listed = entry.descriptions[slot]
                told = set(words.values())
                free = [word for word in listed if word not in told] or listed
                words[slot] = free[int(rng.integers(len(free)))]
        return fill(template, words)

    def choices(self, class_name: str, category: Category) -> tuple[str, ...]:
        """The changes of `category` that suit the class, each once; empty where there is none."""
        entry = self.entry(class_name)
        own_rows = class_name in self._classes_of_bank[_checked(category)]
        key = category, entry.live, class_name if own_rows or category == "removal" else None
        if key not in self._choices:  # the others of its nature share them
            changes = entry.removable if category == "removal" else self._wordings(entry, category)
            self._choices[key] = tuple(dict.fromkeys((*changes, *self.bank.changes(class_name, entry.live, category))))
        return self._choices[key]

    def prompt(self, class_name: str, category: Category, change: str) -> str:
        """The target's prompt: "a photo of a teapot on a beach". `change` may be one that is not in the catalogue."""
        wording, row = self._wording(class_name, category, change), self._row(class_name, category, change)
        template = (row and row.prompt) or self.prompts[category]
        return fill(template, {"class": class_name, "change": wording})

    def draft_prompt(self, class_name: str, subject_prompt: str, category: Category, change: str) -> str:
        """The target's prompt with everything in it that stays: "a photo of a small red ceramic teapot on a beach".

        subject_prompt: of the subject; one that no template of the class gives counts as a description of it.
        """
        entry = self.entry(class_name)
        template, words = take_apart(
            subject_prompt, entry.subject_prompts, {**entry.descriptions, "class": (class_name,)}
        )
        wording, row = self._wording(class_name, category, change), self._row(class_name, category, change)
        rewritings = (row and row.draft_prompts) or self.draft_prompts[category]
        return fill(template, rewrite(words, rewritings, wording))

    def instruction(self, class_name: str, category: Category, change: str) -> str:
        """The change as an order: "add a party hat", "remove the handle"."""
        wording, row = self._wording(class_name, category, change), self._row(class_name, category, change)
        template = (row and row.instruction) or self.instructions[category]
        return fill(template, {"class": class_name, "change": definite(wording) if category == "removal" else wording})

    def edit_region(self, class_name: str, category: Category, change: str) -> EditRegion | None:
        """What an edit may change; None where the category decides."""
        row = self._row(class_name, category, change)
        return None if row is None else row.edit_region

    def view_prompt(self, class_name: str, subject_prompt: str) -> str:
        """A caption of another view of the subject, without place and pose: "a photo of a red teapot".

        subject_prompt: as of `draft_prompt`; of one that no template gives only the class is known to hold.
        """
        entry = self.entry(class_name)
        template, words = take_apart(
            subject_prompt, entry.subject_prompts, {**entry.descriptions, "class": (class_name,)}
        )
        if words["class"] != class_name:
            return fill(PLAIN, {"medium": MEDIUM, "class": class_name})
        seen = {slot for rewriting in self.draft_prompts["background"] for slot in rewriting} - SPOKEN | {"pose"}
        return fill(template, words | dict.fromkeys(seen & words.keys(), ""))

    @cached_property
    def _choices(self) -> dict[tuple[Category, bool, str | None], tuple[str, ...]]:
        return {}

    @cached_property
    def _classes_of_bank(self) -> dict[Category, set[str]]:
        return {category: self.bank.own_classes(category) for category in CATEGORIES}

    def _row(self, class_name: str, category: Category, change: str) -> PromptRow | None:
        """The bank's row with templates of its own; what the catalogue has goes before it."""
        if change in self._wordings(self.entry(class_name), category):
            return None
        return self.bank.own(category, change)

    def _wording(self, class_name: str, category: Category, change: str) -> str:
        """How prompts word a change; what is removed may be what an addition added."""
        entry, known = self.entry(class_name), _checked(category)
        return self._wordings(entry, "addition" if known == "removal" else known).get(change, change)

    def _wordings(self, entry: SubjectClass, category: Category) -> Mapping[str, str]:
        return self.changes["live" if entry.live else "object"].get(category, {})


def load_catalog(name_or_path: str) -> Catalog:
    """Load a catalogue of the package (one of `PACKAGED`) or a YAML file of your own. Raises CatalogError."""
    packaged = name_or_path in PACKAGED
    path = Path(__file__).parent / "catalogs" / f"{name_or_path}.yaml" if packaged else Path(name_or_path)
    try:
        data = read_plain(path)
    except OSError as error:
        allowed = f"allowed are {', '.join(PACKAGED)} and the path of a YAML file"
        raise CatalogError(f"catalog {name_or_path!r}: {error.strerror or error}; {allowed}") from error
    file = parse_catalog(data, f"catalog {path}")
    classes = tuple(
        SubjectClass(name, group.live, removable, group.prompts, group.descriptions)
        for group in file.groups.values()
        for name, removable in group.classes.items()
    )
    digest = hashlib.sha256(data).hexdigest()
    return Catalog(classes, file.changes.by_nature(), file.prompts, file.draft_prompts, file.instructions, digest)


def _checked(category: Category) -> Category:
    if category not in CATEGORIES:
        raise CatalogError(f"category {category!r}: allowed are {', '.join(CATEGORIES)}")
    return category
