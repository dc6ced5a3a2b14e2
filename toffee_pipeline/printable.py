"""Text of others, as it may stand on a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """The text with a space for each line break or tab, and for every other character that draws nothing or steers a
    terminal (escape sequences, the direction of writing) its number as JSON writes it."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if character in "\t\n\r\u2028\u2029":
        return " "
    encoded = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{encoded[start : start + 4]}" for start in range(0, len(encoded), 4))
