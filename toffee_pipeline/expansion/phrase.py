"""Whether a proposal has the form of a change, before anybody asks what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable

from toffee_pipeline.config.base import Category
from toffee_pipeline.expansion.answer import REFUSAL

PHRASE = re.compile(r"[^\W\d_][\w' -]*(?:, [\w' -]+)*")
"""Words, without the marks by which sentences, code, links, tokens of a model or weights of a prompt are written."""
ADDRESSED = re.compile(
    r"\b(?:ignore|disregard|forget|instructions?|prompts?|json|assistant|language model|system message|the user|"
    r"you|your)\b",
    re.IGNORECASE,
)
"""What is said to a model, or by one, and describes no picture."""
BOUND: tuple[Category, ...] = ("style", "background", "texture")
"""Categories whose changes go on a sentence, so that they begin with a preposition, say."""
ROWS_PER_OPENING = 4
MAX_CHARACTERS = 120


def openings_of(category: Category, rows: Iterable[str]) -> frozenset[str] | None:
    """The words by which the rows of a category begin, where these are few for their number: "a" and "an" of styles,
    prepositions of places. None where any word may begin one, as of colours."""
    if category not in BOUND:
        return None
    first = [row.split()[0].lower() for row in rows]
    return frozenset(first) if first and len(set(first)) * ROWS_PER_OPENING <= len(first) else None


def why_no_phrase(phrase: str, openings: frozenset[str] | None, max_words: int) -> str | None:
    """What is wrong with the form of a change, in words; None where nothing is. openings: of its category."""
    words = phrase.split()
    if phrase != " ".join(words) or not PHRASE.fullmatch(phrase):
        return "other than words"
    if len(words) > max_words or len(phrase) > MAX_CHARACTERS:
        return f"{len(words)} words of at most {max_words}, {len(phrase)} characters of at most {MAX_CHARACTERS}"
    if found := ADDRESSED.search(phrase) or REFUSAL.search(phrase):
        return f"{found[0]!r} describes no picture"
    if openings is not None and words[0].lower() not in openings:
        return f"{words[0]!r} begins no row of its category"
    return None
