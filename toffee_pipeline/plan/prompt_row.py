"""A row of a prompt bank: one change, to whom it may happen, and where it comes from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from toffee_pipeline.config.base import Category, EditRegion, Model
from toffee_pipeline.plan.templates import (
    Rewriting,
    check_instruction,
    check_phrase,
    check_prompt,
    check_rewritings,
    check_unique,
)
from toffee_pipeline.printable import printable

NATURES = ("any", "live", "object")


def _check_applies(value: Any) -> str | tuple[str, ...]:
    """Parquet has lists only: ["live"] is what "live" is."""
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if len(names) == 1 and names[0] in NATURES:
        return str(names[0])
    if isinstance(value, str) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{value!r}: allowed are {', '.join(NATURES)} and a list of classes")
    return check_unique(tuple(map(check_phrase, names)))


def _check_own_prompt(template: str) -> str:
    check_prompt(template)
    return template


def _check_own_instruction(template: str) -> str:
    check_instruction(template)
    return template


def _check_own_rewritings(rewritings: tuple[Rewriting, ...]) -> tuple[Rewriting, ...]:
    check_rewritings(rewritings, "draft_prompts")
    return rewritings


AppliesTo = Annotated[Literal["any", "live", "object"] | tuple[str, ...], BeforeValidator(_check_applies)]
ShortPhrase = Annotated[str, Field(max_length=200), AfterValidator(check_phrase)]


class PromptRow(Model):
    """One change of a category, as a catalogue's file has them.

    prompt, draft_prompts, instruction, edit_region: None where the catalogue's of the category fit.
    source: "hand-written", or the id and revision of the model that wrote it. license: as SPDX writes it.
    verdicts: what each filter said of it, by its name.
    """

    category: Category
    applies_to: AppliesTo = "any"
    """any, live or object; or the classes by name. A removal is always of classes."""
    change: ShortPhrase
    """As prompts word it: "on a rocky shore"."""
    prompt: Annotated[str, Field(max_length=300), AfterValidator(_check_own_prompt)] | None = None
    """The target's template: "a photo of a(n) {class} {change}"."""
    draft_prompts: (
        Annotated[tuple[Rewriting, ...], Field(min_length=1), AfterValidator(_check_own_rewritings)] | None
    ) = None
    """What the change replaces in the subject's prompt: [{"place": "{change}"}, {"class": "{class} {change}"}]."""
    instruction: Annotated[str, Field(max_length=300), AfterValidator(_check_own_instruction)] | None = None
    """The change as an order: "dress it in {change}"."""
    edit_region: EditRegion | None = None
    source: ShortPhrase
    license: ShortPhrase
    verdicts: dict[str, str] = {}

    @model_validator(mode="after")
    def _removals_are_of_parts(self) -> Self:
        if self.category == "removal" and self.applies_to in NATURES:
            raise ValueError(f"applies_to={self.applies_to}: what can be removed belongs to classes, as ['teapot']")
        if self.category == "removal" and self.edit_region is not None:
            raise ValueError("edit_region: of a removal it is the part, where that is found")
        return self


def parse_row(content: Any) -> PromptRow:
    """The row that a line or a Parquet row says. Raises ValueError, one line about the first thing that is wrong."""
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    try:
        return PromptRow.model_validate({key: value for key, value in content.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        problem = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ValueError(printable(": ".join(filter(None, (key, problem))))) from error
