"""Captions: the words of a rendering."""

from __future__ import annotations

from .toys import Toy

STYLE_PHRASES: dict[str, str] = {
    "photo": "a photo of",
    "pencil sketch": "a pencil sketch of",
    "watercolor painting": "a watercolor painting of",
    "pixel art": "a pixel art picture of",
    "cartoon": "a cartoon of",
    "neon art": "a neon art picture of",
    "vintage photo": "a vintage photo of",
}
"""Style to the words that open its captions."""


def caption(
    subject: Toy,
    background: str | None,
    style: str | None,
    detail: bool = True,
    pattern_color: bool = True,
    addition: str | None = None,
    removed: str | None = None,
) -> str:
    """Such as "a photo of a red and white striped mug without a handle on a beach".

    detail: whether to tell colours and pattern; without pattern_color, the second colour stays unsaid. addition,
    removed: phrases of ADDITIONS and REMOVABLE.
    A background or style of None stays unsaid.
    """
    words = [with_article(subject_words(subject, detail, pattern_color))]
    if style:
        words.insert(0, STYLE_PHRASES[style])
    if removed:
        words.append(f"without {removed}")
    if addition:
        words.append(f"with {addition}")
    if background:
        words.append(background)
    return " ".join(words)


def subject_words(subject: Toy, detail: bool = True, pattern_color: bool = True) -> str:
    """The noun phrase without article: "red and white striped mug", "red striped mug" without the pattern's colour, or
    "mug" without detail."""
    if not detail:
        return subject.class_name
    colors = subject.color_names[0]
    if subject.pattern == "plain":
        return f"{colors} {subject.class_name}"
    if pattern_color:
        colors += f" and {subject.color_names[3]}"
    return f"{colors} {subject.pattern} {subject.class_name}"


def with_article(words: str) -> str:
    """The words after "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
