"""The YAML form of a catalogue and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from string import Formatter
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from toffee_pipeline.config.base import CATEGORIES, Category, Model
from toffee_pipeline.config.yaml_file import line_of, read_yaml
from toffee_pipeline.errors import CatalogError, ConfigError

SPOKEN = {"medium", "class"}
"""Slots that every subject prompt has: what kind of picture it is ("a photo"), and the class."""


@lru_cache(maxsize=1024)
def slots(template: str) -> tuple[str, ...]:
    """Names in braces, in their order."""
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def changed_slots(rewriting: Mapping[str, str]) -> set[str]:
    """The slots of an entry of `draft_prompts` that say the change."""
    return {slot for slot, words in rewriting.items() if "change" in slots(words)}


class _WrongBelow(ValueError):
    """at: where below the place that pydantic names, for `line_of`."""

    def __init__(self, message: str, *at: str) -> None:
        super().__init__(message)
        self.at = at


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


def _check_template(template: str, required: set[str], allowed: set[str], *at: str) -> None:
    """Plain slots only: str.format would also follow attributes and formats."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise _WrongBelow(f"template {template!r}: {error}", *at) from error
    names = [name for _, name, spec, conversion in parts if not spec and not conversion]
    if len(parts) != len(set(names)) or not required <= set(names) <= allowed:
        slots_text = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        needed = " and ".join(f"{{{name}}}" for name in sorted(required))
        needs = f"; needs {needed}" if needed else ""
        raise _WrongBelow(f"template {template!r}: allowed are the slots {slots_text}, each at most once{needs}", *at)


def _check_unique(phrases: tuple[str, ...]) -> tuple[str, ...]:
    for phrase in phrases:
        if phrases.count(phrase) > 1:
            raise _WrongBelow(f"{phrase!r} is there twice", phrase)
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
            _check_template(template, SPOKEN, {*SPOKEN, *self.descriptions}, "prompts", template)
        used = [slots(template) for template in self.prompts]
        if unused := [slot for slot in self.descriptions if not any(slot in names for names in used)]:
            raise _WrongBelow(
                f"descriptions.{unused[0]}: no prompt of the group has this slot", "descriptions", unused[0]
            )
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
        for nature in ("all", "live", "object"):
            if "removal" in getattr(self, nature):
                problem = "removal: what can be removed belongs to each class, as `- teapot: [a handle]`"
                raise _WrongBelow(problem, nature, "removal")
        return self


Rewriting = Annotated[dict[Name, str], Field(min_length=1)]


class CatalogFile(Model):
    """A whole file.

    prompts: the target's template of each category, with the slots {class} and {change}.
    instructions: the change as an order, with the slot {change}, and {class} where it is needed.
    groups: of their slots, those that another background replaces, and one named {pose}, belong to a picture and not to
        the subject: captions of another view go without them.
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
                raise _WrongBelow(f"{key}.{missing[0]}: missing", key, missing[0])
        for category, template in self.prompts.items():
            _check_template(template, {"class", "change"}, {"class", "change"}, "prompts", category)
        for category, template in self.instructions.items():
            _check_template(template, {"change"}, {"class", "change"}, "instructions", category)
        for category, rewritings in self.draft_prompts.items():
            for rewriting in rewritings:
                for slot, words in rewriting.items():
                    _check_template(words, set(), {"change", slot}, "draft_prompts", category, slot)
            if changed_slots(rewritings[-1]) - SPOKEN or not changed_slots(rewritings[-1]):
                raise _WrongBelow(
                    f"draft_prompts.{category}: the last entry holds for every prompt: "
                    "allowed is {change} in the words of class or medium",
                    "draft_prompts",
                    category,
                )
        owner: dict[str, str] = {}
        for group_name, group in self.groups.items():
            for name in group.classes:
                if name in owner:
                    raise _WrongBelow(
                        f"{name!r} is there twice: in {owner[name]} and {group_name}",
                        "groups",
                        group_name,
                        "classes",
                        name,
                    )
                owner[name] = group_name
        return self


def parse_catalog(data: bytes, name: str) -> CatalogFile:
    """The content of a catalogue's file.

    Args:
        name: what the error calls the file.

    Raises CatalogError, whose `problems` name line, key and what is allowed.
    """
    try:
        content = read_yaml(data, name)
    except ConfigError as error:
        problem = str(error).removeprefix(f"{name}: ")
        raise CatalogError(str(error), (problem,)) from error
    if not isinstance(content, dict):
        problem = f"allowed are the keys {', '.join(CatalogFile.model_fields)}"
        raise CatalogError(f"{name}: {problem}", (problem,))
    try:
        return CatalogFile.model_validate(content)
    except ValidationError as error:
        problems = [_problem(each, data) for each in error.errors()]
        more = f" (and {len(problems) - 1} more: jobs/catalog.py check)" if problems[1:] else ""
        raise CatalogError(f"{name}: {problems[0]}{more}", problems) from error


def _problem(error: ErrorDetails, data: bytes) -> str:
    """One complaint of pydantic's, with its line."""
    place = list(error["loc"])
    wrong = error.get("ctx", {}).get("error")
    at = wrong.at if isinstance(wrong, _WrongBelow) else ()
    found: list[Any] = place
    if place[-1:] == ["[key]"]:  # a bare `no` or `yes`, which pydantic shows as 0 or 1
        found = [*place[:-2], bool(place[-2]) if isinstance(place[-2], int) else place[-2]]
    problem = "unknown key" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (f"line {line_of(data, (*found, *at))}", ".".join(map(str, place)), problem)))
