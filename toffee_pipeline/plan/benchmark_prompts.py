"""Which prompts are those of a benchmark, though in other words: what a model is judged by, it should not be trained
on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from toffee_pipeline.config.base import Category
from toffee_pipeline.plan.dreambench_prompts import (
    ACCESSORIES,
    OBJECT_PLACES,
    PROPERTIES,
    SHARED_PLACES,
    SUBJECTS,
)

LEADS = re.compile(r"^(photo|picture|image|painting) of ")
PLACED = re.compile(r"\bin front of\b|\bon top of\b")
SLOT = re.compile(r"{\w*}|\ba\(n\)")
FILLING = frozenset(
    ("a", "an", "the", "it", "in", "on", "of", "at", "by", "to", "and", "with", "wearing", "dressed")
    + ("around", "background", "photo", "picture", "image", "pair")
)
"""Words that tell no two changes apart."""
STOPS = FILLING | frozenset(
    ("above", "across", "after", "along", "amid", "among", "as", "before", "behind", "below", "beneath", "beside")
    + ("between", "but", "during", "for", "from", "inside", "into", "its", "like", "near", "next", "off", "onto", "or")
    + ("over", "that", "through", "under", "until", "up", "where", "which", "while", "within", "without")
)
"""Words that end what was named before them."""
AFTER_NOUN = re.compile(r"\w+(?:ed|ing)|full|worn|made|hung")
LEADS_TO_PLACE = frozenset(("in", "on", "at", "into", "onto", "inside", "within", "through", "amid", "across"))
BEHIND = frozenset(("background", "behind", "backdrop"))
BACKDROPS = frozenset(("city", "mountain"))
"""What DreamBench has in the background only, each told by one word; in a city, it is another change."""
OTHER_WORDS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\bsun glass(?:es)?\b|\bsunglass\b|\b(?:dark|tinted) glasses\b", "sunglasses"),
        (r"(?:^|\bwearing |\bpair of )((?:(?:a|some|cool|dark|black) )*)shades\b(?! of)", r"\1sunglasses"),
        (r"\bcobble(?:d| ?stones?)\b", "cobblestone"),
        (r"\bcobblestone (?:road|lane)s?\b", "cobblestone street"),
        (r"\bpolice ?(?:wo)?m[ae]n\b|\bpolice officer\b", "police"),
        (r"\bfire ?(?:wo)?m[ae]n\b|\bfire fighter\b", "firefighter"),
        (r"\b(chef|firefighter|police|wizard) (?:uniform|costume)\b", r"\1 outfit"),
        # the hat of a uniform says it; a chef's or a wizard's is worn alone
        (r"\b(firefighter|police) (?:hat|cap|helmet)\b", r"\1 outfit"),
    )
)
"""What DreamBench names in words of its own."""
OF_PROPERTIES: tuple[Category, ...] = ("color", "texture")
"""Categories of changes that are properties of a subject themselves."""


def normalized(prompt: str) -> str:
    """The words that tell prompts apart: "A photo of a red mug, on a beach." -> "red mug on beach"."""
    words = re.sub(r"[^\w\s]", " ", prompt.lower()).split()
    return LEADS.sub("", " ".join(word for word in words if word not in ("a", "an", "the")))


def is_benchmark_prompt(text: str, category: Category) -> bool:
    """Whether a change is one that DreamBench asks for, or a near duplicate of one.

    text: a change ("in the snow"), or a template or prompt without its class ("a photo of a(n) {class} in the snow").
    category: of the change. Only a color or a texture is a near duplicate of a property ("ruby red"): a red ribbon is
        not what `red` asks for.
    """
    own, words = _content(text), _words(text)
    near = _changes() | _properties() if category in OF_PROPERTIES else _changes()
    return (
        own in _properties()
        or any(_near(own, asked) for asked in near)
        or any(_among(words, asked) for asked in _changes())
    )


def _near(own: frozenset[str], asked: frozenset[str]) -> bool:
    """More than half of their words are the same, or half of them where all of DreamBench's are there: "in the snow at
    dusk"."""
    common, together = len(own & asked), len(own | asked)
    return 2 * common > together or (2 * common == together and asked <= own)


def _among(words: Sequence[str], asked: frozenset[str]) -> bool:
    """DreamBench's words stand in a row, however many there are around them, and not before a noun that they describe:
    "in the snow, at dusk by a frozen lake", but no snow globe."""
    content = [place for place, word in enumerate(words) if word not in FILLING and word.isalpha()]
    rows = (content[first : first + len(asked)] for first in range(len(content) - len(asked) + 1))
    return any(
        asked == {words[place] for place in row}
        and _ends(words[row[-1] + 1 :])
        and (len(asked) > 1 or asked <= _one_word_accessories() or _is_place(words, row[0]))
        for row in rows
    )


def _ends(rest: Sequence[str]) -> bool:
    """Whether a noun is over before these words."""
    following = rest[1:] if rest and AFTER_NOUN.fullmatch(rest[0]) else rest
    return not following or not following[0].isalpha() or following[0] in STOPS


def _is_place(words: Sequence[str], place: int) -> bool:
    """Whether the word says where the subject is: of a backdrop, what is behind it."""
    if words[place] in BACKDROPS:
        return not BEHIND.isdisjoint(words)
    before = (word for word in reversed(words[:place]) if word in STOPS and word not in ("a", "an", "the"))
    return next(before, "") in LEADS_TO_PLACE


@cache
def _changes() -> frozenset[frozenset[str]]:
    """Words of places and accessories."""
    return frozenset(map(_content, (*SHARED_PLACES, *OBJECT_PLACES, *ACCESSORIES, *SUBJECTS)))


@cache
def _one_word_accessories() -> frozenset[str]:
    return frozenset().union(*(words for words in map(_content, (*ACCESSORIES, *SUBJECTS)) if len(words) == 1))


@cache
def _properties() -> frozenset[frozenset[str]]:
    return frozenset(map(_content, PROPERTIES))


def _content(text: str) -> frozenset[str]:
    """The words that say what a change is."""
    return frozenset(word for word in _words(text) if word.isalpha()) - FILLING


def _words(text: str) -> list[str]:
    """In DreamBench's own words where it has some, and punctuation; plurals count as singulars."""
    plain = SLOT.sub(" ", unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'").replace("'s ", " "))
    plain = " ".join(re.findall(r"[^\W\d_]+|[,.;:!?()]", PLACED.sub("on", plain)))
    for pattern, words in OTHER_WORDS:
        plain = pattern.sub(words, plain)
    return [_singular(word) for word in plain.split()]


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
