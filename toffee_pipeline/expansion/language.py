"""Whether a phrase is English, as far as its letters and its little words tell."""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]+")
FOREIGN = set(
    """
    au aux avec dans des du est et sous sur un une vers
    auf aus dem der einem einen einer ist mit und unter vom von zur
    bajo cerca del dentro el en entre junto los las sobre una unas unos
    alla allo degli gli il della delle nel nella sotto sul sulla uno
    ao da das dos em na nas nos num numa pela sob uma
    een het met naar onder op van voor
    """.split()  # noqa: SIM905
)
"""Little words of French, German, Spanish, Italian, Portuguese and Dutch that are no English ones."""


def why_not_english(phrase: str) -> str | None:
    """What shows that a phrase is not English, in words; None where nothing does."""
    for letter in phrase:
        if letter.isalpha() and not unicodedata.name(letter, "").startswith("LATIN"):
            return f"{letter!r} is no Latin letter"
    words = WORD.findall(phrase.lower())
    foreign = [word for word in words if word in FOREIGN]
    return f"{foreign[0]!r} is no English word" if foreign else None
