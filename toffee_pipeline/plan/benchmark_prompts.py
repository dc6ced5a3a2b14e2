"""Which prompts are those of a benchmark, though in other words: what a model is judged by, it should not be trained
on."""

from __future__ import annotations

import re
import unicodedata
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
    own = _content(text)
    near = _changes() | _properties() if category in OF_PROPERTIES else _changes()
    return own in _properties() or any(_near(own, asked) for asked in near)


def _near(own: frozenset[str], asked: frozenset[str]) -> bool:
    """More than half of their words are the same, or half of them where all of DreamBench's are there: "in the snow at
    dusk"."""
    common, together = len(own & asked), len(own | asked)
    return 2 * common > together or (2 * common == together and asked <= own)


@cache
def _changes() -> frozenset[frozenset[str]]:
    """Words of places and accessories."""
    return frozenset(map(_content, (*SHARED_PLACES, *OBJECT_PLACES, *ACCESSORIES, *SUBJECTS)))


@cache
def _properties() -> frozenset[frozenset[str]]:
    return frozenset(map(_content, PROPERTIES))


def _content(text: str) -> frozenset[str]:
    """The words that say what a change is; plurals count as singulars."""
    plain = SLOT.sub(" ", unicodedata.normalize("NFKC", text).lower().replace("'s ", " "))
    return frozenset(map(_singular, re.findall(r"[^\W\d_]+", PLACED.sub("on", plain)))) - FILLING


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
