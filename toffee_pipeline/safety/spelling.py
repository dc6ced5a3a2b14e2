"""How a text may be spelled so that a list of words does not know it: look-alike letters, digits for letters, spaces,
hidden characters, stars."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import yaml

_LETTERS = yaml.safe_load((Path(__file__).parent / "confusables.yaml").read_text(encoding="utf-8"))
_CONFUSABLES = {letter: latin for latin, letters in _LETTERS.items() for letter in letters}
_LATIN_NAME = re.compile(r"(?:LATIN|REGIONAL INDICATOR)\b.* ([A-Z])(?: WITH .*)?$")
"""Unicode's names of Latin letters without a compatible form: small capitals, squared and stroked ones."""
_LEET = str.maketrans({
    "0": "o", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "+": "t",
    "€": "e", "¢": "c",
})  # fmt: skip
_I_OR_L = re.compile(r"[1!|]")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_WORD = re.compile(r"(?:[^\W_]|[\u0900-\u0dff\u1000-\u109f\u1780-\u17ff])+")
"""In the scripts of India and its neighbours vowels are marks, which belong to their word."""
_MASKED = re.compile(r"[^\W\d_]+[*#_][\w*#]*")
_MASKS = "*#_"
_SAID_THRICE = re.compile(r"(.)\1\1+")
_POSSESSIVE = re.compile(r"['’]s\b")
_SMALL_WORDS = {
    "an", "and", "are", "as", "at", "by", "do", "for", "go", "he", "her", "his", "if", "in", "is", "it", "its", "me",
    "my", "no", "of", "on", "or", "so", "the", "to", "up", "us", "we",
}  # fmt: skip
"""They would often make another word with their neighbour."""
_FEWEST_SPELLED = 3
CONTINUOUS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Letters of scripts that put no space between words, or hang particles to them."""


def normalise(text: str) -> str:
    """NFKC in lower case without hidden characters; the letters of alphabets without the marks over them."""
    if not text.isascii():
        text = "".join(_without_marks(unicodedata.normalize("NFKC", text)))
    return _POSSESSIVE.sub("", unicodedata.normalize("NFC", text)).casefold()


def _without_marks(text: str) -> Iterator[str]:
    base = ""
    for each in unicodedata.normalize("NFD", text):
        category = unicodedata.category(each)
        if category == "Mn" and base < "\u0780":  # Latin, Greek, Cyrillic, Hebrew, Arabic
            continue
        if category != "Cf":
            base = each if category != "Mn" else base
            yield _latin_letter(each) if category == "So" else each


@lru_cache(maxsize=4096)
def _latin_letter(letter: str) -> str:
    """The Latin letter that it looks like, or itself."""
    found = _CONFUSABLES.get(letter) or _CONFUSABLES.get(letter.upper())
    named = None if found else _LATIN_NAME.search(unicodedata.name(letter, ""))
    return found or (named[1].lower() if named else letter)


def _looks(text: str) -> str:
    """Letter by letter in Latin, whatever stands between them."""
    return text if text.isascii() else "".join(each if each.isascii() else _latin_letter(each) for each in text)


def _in_latin(word: str) -> str:
    """A word that would not be Latin all over stays as it is."""
    latin = _looks(word)
    return latin if latin.isascii() else word


def words_of(text: str) -> list[str]:
    """The words of a normalised text, in Latin letters where they look like it."""
    return [_in_latin(word) for word in _WORD.findall(text)]


def joined(text: str) -> str:
    """A normalised text without anything between its letters, as scripts without spaces are looked at."""
    return "".join(_WORD.findall(text))


def readings(text: str) -> Iterator[tuple[str, str]]:
    """Words that may hide inside what stands between two spaces of a normalised text: ("p0rn", "porn")."""
    for chunk in text.split():
        for reading in _readings_of(chunk):
            yield chunk, reading


@lru_cache(maxsize=65536)
def _readings_of(chunk: str) -> tuple[str, ...]:
    core = _looks(chunk).strip("\"'()[]{}<>.,;:?“”„«»…-–—_")
    letters = _NOT_A_LETTER.sub("", core)
    read = {letters, letters.rstrip("0123456789")}
    digits = sum(each.isdigit() for each in core)
    if any(each.isalpha() for each in core) and 2 * digits <= len(core):
        for leet in {core, core.rstrip("!")}:
            read |= {_NOT_A_LETTER.sub("", _I_OR_L.sub(letter, leet).translate(_LEET)) for letter in "il"}
    for word in [each for each in read if _SAID_THRICE.search(each)]:
        read |= {_SAID_THRICE.sub(r"\1", word), _SAID_THRICE.sub(r"\1\1", word)}
    return tuple(sorted(each for each in read if len(each) > 1))


def torn(text: str) -> Iterator[tuple[str, str]]:
    """Words of a normalised text that spaces may have torn apart: ("s e x", "sex"), ("po rn", "porn")."""
    yield from _together(_WORD.findall(text))
    if not text.isascii():
        yield from _together(words_of(text))


def _together(words: list[str]) -> Iterator[tuple[str, str]]:
    for single, run in groupby(words, key=lambda word: len(word) == 1):
        letters = "".join(run) if single else ""
        if len(letters) >= _FEWEST_SPELLED:
            for reading in (letters, letters[1:], letters[:-1]):  # an article may stand before it
                yield " ".join(letters), reading
    for first, second in zip(words, words[1:], strict=False):
        if len(first) > 1 and len(second) > 1 and not {first, second} & _SMALL_WORDS:
            yield f"{first} {second}", first + second


def masked(text: str) -> list[str]:
    """Words of a normalised text in which signs stand for letters: "f**k"."""
    found = _MASKED.findall(_looks(text)) if any(mask in text for mask in _MASKS) else []
    return [word for word in found if 2 * sum(each.isalpha() for each in word) >= len(word)]


def fits(word: str, mask: str) -> bool:
    """Whether a masked word may be this one."""
    return len(word) == len(mask) and all(b in _MASKS or a == b for a, b in zip(word, mask, strict=True))
