"""Whether a text is English, the one language that CLIP's text encoder, which filters pairs, was trained on."""

from __future__ import annotations

import unicodedata
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LEAD = "a photo of a cat "
MIN_ENGLISH = 0.2
"""Least probability of English behind `LEAD`. Two words alone tell little: "a beret" would be French, and "jade green"
Danish. tests/plan/test_language.py counts what is missed."""


def is_english(text: str) -> bool:
    """Whether a change, caption or prompt reads as English: a tenth of a millisecond, the same on any machine.

    A letter that is not Latin is never English; a single word of ASCII letters always counts as it.
    """
    if any(char.isalpha() and not unicodedata.name(char, "").startswith("LATIN ") for char in text):
        return False
    if len(text.split()) < 2 and text.isascii():
        return True
    return dict(_identifier().rank(LEAD + text))["en"] >= MIN_ENGLISH


@cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
