"""Which texts nothing should be drawn from: by words and phrases, however they are spelled."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from toffee_pipeline.safety.spelling import CONTINUOUS, fits, joined, masked, normalise, readings, torn, words_of

WORDS = Path(__file__).parent / "words.yaml"
DENIED = "denied"
"""The category of what the user's own list denies."""
_SHORTEST_STEM = 3


class Finding(NamedTuple):
    """What is wrong with a text. found: what stands there; phrase: what it is read as; category: of the list."""

    found: str
    phrase: str
    category: str

    def __str__(self) -> str:
        spelled = "" if self.found == self.phrase else f", read as {self.phrase!r}"
        return f"{self.category}: {self.found!r}{spelled}"


class WordList:
    """Words, stems (`stem*`) and phrases of some categories, found in any spelling."""

    def __init__(self, categories: Mapping[str, Iterable[str]]) -> None:
        self._words: dict[str, str] = {}
        self._stems: dict[str, str] = {}
        self._phrases: defaultdict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        self._anywhere: dict[str, str] = {}
        for category, phrases in categories.items():
            for phrase in map(normalise, phrases):
                self._add(phrase, category)

    def _add(self, phrase: str, category: str) -> None:
        words = words_of(phrase)
        if CONTINUOUS.search(phrase):
            self._anywhere[joined(phrase)] = category
        elif len(words) > 1:
            self._phrases[words[0]].append((tuple(words), category))
        elif words:
            (self._stems if phrase.endswith("*") else self._words)[words[0]] = category

    def find(self, text: str) -> Finding | None:
        """The first that stands in a normalised text."""
        return next(self._findings(text), None)

    def _findings(self, text: str) -> Iterator[Finding]:
        words = words_of(text)
        for index, word in enumerate(words):
            yield from self._lookup(word, word)
            for phrase, category in self._phrases.get(word, ()):
                there = words[index : index + len(phrase)]
                if there[:-1] == list(phrase[:-1]) and phrase[-1] in _forms(there[-1]):
                    yield Finding(" ".join(there), " ".join(phrase), category)
        if self._anywhere and CONTINUOUS.search(text):
            whole = joined(text)
            yield from (Finding(each, each, category) for each, category in self._anywhere.items() if each in whole)
        for found, word in readings(text):
            yield from self._lookup(found, word)
        for found, word in torn(text):
            known = self._words.get(word) or self._stems.get(word)
            if known:
                yield Finding(found, word, known)
        for found in masked(text):
            yield from (Finding(found, word, known) for word, known in self._words.items() if fits(word, found))
            stems = ((stem, known) for stem, known in self._stems.items() if fits(stem, found[: len(stem)]))
            yield from (Finding(found, f"{stem}*", known) for stem, known in stems)

    def _lookup(self, found: str, word: str) -> Iterator[Finding]:
        for known in _forms(word):
            if known in self._words:
                yield Finding(found, known, self._words[known])
        for end in range(_SHORTEST_STEM, len(word) + 1):
            if word[:end] in self._stems:
                yield Finding(found, f"{word[:end]}*", self._stems[word[:end]])


def _forms(word: str) -> Iterator[str]:
    """What a list may hold of a word: itself, its singular, and in Arabic the word without its article."""
    yield word
    for end in ("s", "es"):
        if word.endswith(end) and len(word) - len(end) > 2:
            yield word.removesuffix(end)
    if word.startswith("ال"):
        yield word.removeprefix("ال")


@cache
def _packaged() -> tuple[WordList, tuple[str, ...]]:
    lists = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return WordList(lists["unsafe"]), tuple(lists["benign"])


class TextFilter:
    """Pure, and the same on every machine. What is denied is found even where it is allowed too.

    Args:
        allow: phrases that are harmless here ("nude lipstick"), beside the package's own.
        deny: phrases that are not, in the form of `words.yaml`: a word, `stem*`, or several words.
    """

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> None:
        self._unsafe, benign = _packaged()
        self._denied = WordList({DENIED: deny})
        self._benign = _any_of((*benign, *allow))

    def find(self, text: str) -> Finding | None:
        """Why nothing should be drawn from the text; None where nothing is found."""
        plain = normalise(text)
        if denied := self._denied.find(plain):
            return denied
        if self._unsafe.find(plain) is None:  # most texts; looking for harmless phrases takes longest
            return None
        return next(filter(None, map(self._unsafe.find, self._benign.split(plain))), None)


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(map(normalise, phrases), key=len, reverse=True)
    return re.compile("|".join(_anywhere(phrase) for phrase in longest_first))


def _anywhere(phrase: str) -> str:
    """A pattern of its words with spaces or hyphens between them."""
    words = r"[\s_-]+".join(map(re.escape, phrase.split()))
    return words if CONTINUOUS.search(phrase) else rf"(?<!\w){words}(?!\w)"
