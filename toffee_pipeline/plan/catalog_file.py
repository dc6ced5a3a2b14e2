"""The YAML form of a catalogue and its checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from toffee_pipeline.config.base import CATEGORIES, Category, Model
from toffee_pipeline.config.yaml_file import compose, line_of, read_yaml
from toffee_pipeline.errors import CatalogError, ConfigError
from toffee_pipeline.plan.templates import (
    SPOKEN,
    Name,
    Phrase,
    Phrases,
    Rewriting,
    WrongBelow,
    check_instruction,
    check_prompt,
    check_rewritings,
    check_template,
    check_unique,
    slots,
)
from toffee_pipeline.printable import printable


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
        check_unique(tuple(name for name, _ in pairs))
        return dict(pairs)

    return BeforeValidator(to_dict)


MAX_PROBLEMS = 100
Words = Annotated[Phrases, Field(min_length=1)]
Wordings = Annotated[dict[Phrase, Phrase], _named(lambda name: name), Field(min_length=1)]
Classes = Annotated[dict[Phrase, Phrases], _named(lambda name: ()), Field(min_length=1)]


class Group(Model):
    """Classes that share their descriptions: subject prompts and the words of each slot."""

    live: bool = False
    prompts: Annotated[tuple[str, ...], AfterValidator(check_unique), Field(min_length=1)]
    descriptions: dict[Name, Words] = {}
    classes: Classes

    @model_validator(mode="after")
    def _slots_have_words(self) -> Self:
        for template in self.prompts:
            check_template(template, SPOKEN, {*SPOKEN, *self.descriptions}, "prompts", template)
        used = [slots(template) for template in self.prompts]
        if unused := [slot for slot in self.descriptions if not any(slot in names for names in used)]:
            raise WrongBelow(
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
                raise WrongBelow(problem, nature, "removal")
        return self


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
                raise WrongBelow(f"{key}.{missing[0]}: missing", key, missing[0])
        for category, template in self.prompts.items():
            check_prompt(template, "prompts", category)
        for category, template in self.instructions.items():
            check_instruction(template, "instructions", category)
        for category, rewritings in self.draft_prompts.items():
            check_rewritings(rewritings, "draft_prompts", category)
        owner: dict[str, str] = {}
        for group_name, group in self.groups.items():
            for name in group.classes:
                if name in owner:
                    raise WrongBelow(
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
        root = compose(data)
        problems = [_problem(each, root) for each in error.errors()[:MAX_PROBLEMS]]
        more = f" (and {error.error_count() - 1} more: jobs/catalog.py check)" if problems[1:] else ""
        raise CatalogError(f"{name}: {problems[0]}{more}", problems) from error


def _problem(error: ErrorDetails, root: yaml.Node | None) -> str:
    """One complaint of pydantic's, with its line."""
    place = list(error["loc"])
    wrong = error.get("ctx", {}).get("error")
    at = wrong.at if isinstance(wrong, WrongBelow) else ()
    found: list[Any] = place
    if place[-1:] == ["[key]"]:  # a bare `no` or `yes`, which pydantic shows as 0 or 1
        found = [*place[:-2], bool(place[-2]) if isinstance(place[-2], int) else place[-2]]
    problem = "unknown key" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    where = f"line {line_of(root, (*found, *at))}"
    return printable(": ".join(filter(None, (where, ".".join(map(str, place)), problem))))
