"""Phrases and templates of prompts: what may stand in them, wherever they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

SPOKEN = {"medium", "class"}
"""Slots that every subject prompt has: what kind of picture it is ("a photo"), and the class."""


@lru_cache(maxsize=1024)
def slots(template: str) -> tuple[str, ...]:
    """Names in braces, in their order."""
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def literal(template: str) -> str:
    """What a template says by itself: "a photo of a(n) {class} {change}" gives "a photo of a"."""
    said = " ".join(text for text, *_ in Formatter().parse(template))
    return " ".join(said.replace("a(n)", "a").split())


def changed_slots(rewriting: Mapping[str, str]) -> set[str]:
    """The slots of an entry of `draft_prompts` that say the change."""
    return {slot for slot, words in rewriting.items() if "change" in slots(words)}


class WrongBelow(ValueError):
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


def check_phrase(phrase: str) -> str:
    if not phrase or phrase != " ".join(phrase.split()) or not phrase.isprintable() or set(phrase) & set("{}"):
        raise ValueError(f"{phrase!r}: allowed is a phrase without braces and without spare spaces")
    return phrase


def check_template(template: str, required: set[str], allowed: set[str], *at: str) -> None:
    """Plain slots only: str.format would also follow attributes and formats."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise WrongBelow(f"template {template!r}: {error}", *at) from error
    names = [name for _, name, spec, conversion in parts if not spec and not conversion]
    if len(parts) != len(set(names)) or not required <= set(names) <= allowed:
        slots_text = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        needed = " and ".join(f"{{{name}}}" for name in sorted(required))
        needs = f"; needs {needed}" if needed else ""
        raise WrongBelow(f"template {template!r}: allowed are the slots {slots_text}, each at most once{needs}", *at)


def check_prompt(template: str, *at: str) -> None:
    """Of a target's prompt."""
    check_template(template, {"class", "change"}, {"class", "change"}, *at)


def check_instruction(template: str, *at: str) -> None:
    """Of a change as an order."""
    check_template(template, {"change"}, {"class", "change"}, *at)


def check_rewritings(rewritings: Sequence[Mapping[str, str]], *at: str) -> None:
    """Which words of a subject's prompt a change replaces; the last entry holds for every prompt."""
    for rewriting in rewritings:
        for slot, words in rewriting.items():
            check_template(words, set(), {"change", slot}, *at, slot)
    if changed_slots(rewritings[-1]) - SPOKEN or not changed_slots(rewritings[-1]):
        raise WrongBelow(
            f"{'.'.join(at)}: the last entry holds for every prompt: "
            "allowed is {change} in the words of class or medium",
            *at,
        )


def check_unique(phrases: tuple[str, ...]) -> tuple[str, ...]:
    for phrase in phrases:
        if phrases.count(phrase) > 1:
            raise WrongBelow(f"{phrase!r} is there twice", phrase)
    return phrases


Name = Annotated[str, BeforeValidator(_check_quoted)]
Phrase = Annotated[Name, AfterValidator(check_phrase)]
Phrases = Annotated[tuple[Phrase, ...], AfterValidator(check_unique)]
Rewriting = Annotated[dict[Name, str], Field(min_length=1)]
