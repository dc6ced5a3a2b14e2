"""The YAML form of a catalogue and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from toffee_pipeline.config.base import CATEGORIES, Category, Model

SPOKEN = {"medium", "class"}
"""Slots that every subject prompt has: what kind of picture it is ("a photo"), and the class."""


def slots(template: str) -> list[str]:
    """Names in braces, in their order."""
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


def changed_slots(rewriting: Mapping[str, str]) -> set[str]:
    """The slots of an entry of `draft_prompts` that say the change."""
    return {slot for slot, words in rewriting.items() if "change" in slots(words)}


def _check_quoted(value: object) -> object:
    """YAML 1.1 reads a bare `no` as false: a class of that name would be lost."""
    if isinstance(value, bool):
        bare, quoted = ("yes, on or true", '"yes"') if value else ("no, off or false", '"no"')
        raise ValueError(f"a bare {bare} is no word in YAML: quote it, as {quoted}")
    return value


def _check_phrase(phrase: str) -> str:
    if not phrase or phrase != " ".join(phrase.split()) or not phrase.isprintable() or set(phrase) & set("{}"):
        raise ValueError(f"{phrase!r}: allowed is a phrase without braces and without spare spaces")
    return phrase


def _check_template(template: str, required: set[str], allowed: set[str]) -> None:
    """Plain slots only: str.format would also follow attributes and formats."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"template {template!r}: {error}") from error
    names = [name for _, name, spec, conversion in parts if not spec and not conversion]
    if len(parts) != len(set(names)) or not required <= set(names) <= allowed:
        slots_text = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        needed = " and ".join(f"{{{name}}}" for name in sorted(required))
        raise ValueError(
            f"template {template!r}: allowed are the slots {slots_text}, each at most once; needs {needed}"
        )


def _check_unique(phrases: tuple[str, ...]) -> tuple[str, ...]:
    for phrase in phrases:
        if phrases.count(phrase) > 1:
            raise ValueError(f"{phrase!r} is there twice")
    return phrases


def _named(default: Callable[[Any], Any]) -> BeforeValidator:
    """A YAML list of names, or of `name: value` where the value differs from the default, as a dict."""

    def to_dict(items: object) -> object:
        if not isinstance(items, list):
            raise ValueError("allowed is a list")
        pairs: list[tuple[Any, Any]] = []
        for item in items:
            if isinstance(item, str | bool):
                pairs.append((item, default(item)))
            elif isinstance(item, dict) and len(item) == 1:
                pairs.extend(item.items())
            else:
                raise ValueError(f"{item!r}: allowed is a name in words, or one name and its value")
        _check_unique(tuple(name for name, _ in pairs))
        return dict(pairs)

    return BeforeValidator(to_dict)


Name = Annotated[str, BeforeValidator(_check_quoted)]
Phrase = Annotated[Name, AfterValidator(_check_phrase)]
Phrases = Annotated[tuple[Phrase, ...], AfterValidator(_check_unique)]
Words = Annotated[Phrases, Field(min_length=1)]
Wordings = Annotated[dict[Phrase, Phrase], _named(lambda name: name), Field(min_length=1)]
Classes = Annotated[dict[Phrase, Phrases], _named(lambda name: ()), Field(min_length=1)]


class Group(Model):
    """Classes that share their descriptions: subject prompts and the words of each slot."""

    live: bool = False
    prompts: Annotated[tuple[str, ...], AfterValidator(_check_unique), Field(min_length=1)]
    descriptions: dict[Name, Words] = {}
    classes: Classes

    @model_validator(mode="after")
    def _slots_have_words(self) -> Self:
        for template in self.prompts:
            _check_template(template, SPOKEN, {*SPOKEN, *self.descriptions})
        used = [slots(template) for template in self.prompts]
        if unused := [slot for slot in self.descriptions if not any(slot in names for names in used)]:
            raise ValueError(f"descriptions.{unused[0]}: no prompt of the group has this slot")
        return self


class Changes(Model):
    """Lists per category; those of `live` or `object` stand in place of those of `all`."""

    all: dict[Category, Wordings] = {}
    live: dict[Category, Wordings] = {}
    object: dict[Category, Wordings] = {}

    def by_nature(self) -> dict[str, dict[Category, dict[str, str]]]:
        """The lists that hold for "live" and for "object"."""
        return {"live": {**self.all, **self.live}, "object": {**self.all, **self.object}}

    @model_validator(mode="after")
    def _removal_is_the_class_own(self) -> Self:
        if any("removal" in lists for lists in (self.all, self.live, self.object)):
            raise ValueError("removal: what can be removed belongs to each class, as `- teapot: [a handle]`")
        return self


Rewriting = Annotated[dict[Name, str], Field(min_length=1)]


class CatalogFile(Model):
    """A whole file.

    prompts: the target's template of each category, with the slots {class} and {change}.
    instructions: the change as an order, with the slot {change}, and {class} where it is needed.
    draft_prompts: for each category, which words of the subject's prompt the change replaces: {slot: new words}, in
        which {change} and the slot itself may stand. Of several, the first holds whose changed slots are in the prompt.
    """

    prompts: dict[Category, str]
    instructions: dict[Category, str]
    draft_prompts: dict[Category, tuple[Rewriting, ...]]
    changes: Changes
    groups: Annotated[dict[Name, Group], Field(min_length=1)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in ("prompts", "instructions", "draft_prompts"):
            if missing := [category for category in CATEGORIES if not getattr(self, key).get(category)]:
                raise ValueError(f"{key}.{missing[0]}: missing")
        for template in self.prompts.values():
            _check_template(template, {"class", "change"}, {"class", "change"})
        for template in self.instructions.values():
            _check_template(template, {"change"}, {"class", "change"})
        for category, rewritings in self.draft_prompts.items():
            for rewriting in rewritings:
                for slot, words in rewriting.items():
                    _check_template(words, set(), {"change", slot})
            if changed_slots(rewritings[-1]) - SPOKEN or not changed_slots(rewritings[-1]):
                raise ValueError(
                    f"draft_prompts.{category}: the last entry holds for every prompt: "
                    "allowed is {change} in the words of class or medium"
                )
        _check_unique(tuple(name for group in self.groups.values() for name in group.classes))
        return self
