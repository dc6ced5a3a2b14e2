"""Prompts and their parts: templates are filled, and prompts that they gave are taken apart again.

A template names its slots in braces and writes "a(n)" where the article depends on the next word:
"{medium} of a(n) {color} {class}" gives "a photo of an orange teapot".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from toffee_pipeline.plan.templates import changed_slots

MEDIUM = "a photo"
"""What subject prompts call their picture."""
PLAIN = "{medium} of a(n) {class}"
"""The template of a subject of which nothing but its class is known, or its own description in the class's place."""
ARTICLE = re.compile(r"\ba\(n\) (?=(\S+))")
# By sound, not by letter: "a unicycle", "a ukulele", "an hourglass".
SPOKEN_VOWEL = re.compile(r"[aeiou]|hour|heir|honest", re.IGNORECASE)
SPOKEN_CONSONANT = re.compile(r"uni(?![dmn])|uk|eu|ewe|us[aeu]|ut[eio]|one\b", re.IGNORECASE)
INDEFINITE = re.compile(r"^(?:an?|the|its|their) ")
OPENING = re.compile(r"(?:an? (?:photo|picture|image) of )?(?:an? |the )?", re.IGNORECASE)


def with_article(words: str) -> str:
    """The words after "a" or "an", by the sound of the first one: "an orange cup", "a ukulele"."""
    vowel = SPOKEN_VOWEL.match(words) and not SPOKEN_CONSONANT.match(words)
    return f"{'an' if vowel else 'a'} {words}"


def definite(words: str) -> str:
    """The words after "the": "a handle" and "handles" give "the handle" and "the handles"."""
    return f"the {INDEFINITE.sub('', words, count=1)}"


def fill(template: str, words: Mapping[str, str]) -> str:
    """The template with the words in its slots, and "a" or "an" for each "a(n)"; a slot without words leaves no gap."""
    spaced = " ".join(template.format_map(words).split())
    return ARTICLE.sub(lambda found: with_article(found[1]).removesuffix(found[1]), spaced)


def take_apart(
    prompt: str, templates: Iterable[str], descriptions: Mapping[str, Sequence[str]]
) -> tuple[str, dict[str, str]]:
    """The template that gives the prompt, and the words in its slots.

    descriptions: the words that each slot but {medium} may have. A prompt of none of the templates is taken as `PLAIN`,
    with all its words but "a photo of a" in the place of the class.
    """
    allowed = {"medium": (MEDIUM,), **descriptions}
    for template in templates:
        words = _match(prompt, re.split(r"{(\w+)}", template), allowed)
        if words is not None:
            return template, words
    return PLAIN, {"medium": MEDIUM, "class": OPENING.sub("", prompt, count=1)}


def _match(text: str, parts: Sequence[str], allowed: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """The words of the slots; parts: literal, slot, literal, and so on."""
    literal = parts[0]
    for article in ("a ", "an "):
        start = literal.replace("a(n) ", article)
        if not text.startswith(start):
            continue
        rest = text[len(start) :]
        if len(parts) == 1:
            return None if rest else {}
        for word in allowed[parts[1]]:
            if rest.startswith(word):
                found = _match(rest[len(word) :], parts[2:], allowed)
                if found is not None:
                    return {parts[1]: word, **found}
    return None


def rewrite(words: Mapping[str, str], rewritings: Sequence[Mapping[str, str]], change: str) -> dict[str, str]:
    """The words of a prompt with a change in them.

    rewritings: an entry of `CatalogFile.draft_prompts`: slot -> its new words. The first holds whose changed slots the
    prompt has; the last always does.
    """
    rewriting = next(entry for entry in rewritings if changed_slots(entry) <= words.keys())
    changed = dict(words)
    for slot, new in rewriting.items():
        if slot in words:
            changed[slot] = new.format_map({"change": change, slot: words[slot]})
    return changed
