"""Which short prompts read as English: a small labelled set."""

from pathlib import Path

import pytest

from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.plan.language import is_english

LABELLED = [
    line.split("\t")
    for line in (Path(__file__).parent / "data" / "prompts_by_language.tsv").read_text(encoding="utf-8").splitlines()
]
FOREIGN = [text for label, text in LABELLED if label == "other"]
ENGLISH = [text for label, text in LABELLED if label == "en"]


def test_precision_and_recall_of_what_is_refused() -> None:
    """docs/catalogue.md has these figures."""
    found = [text for text in FOREIGN if not is_english(text)]
    wrong = [text for text in ENGLISH if not is_english(text)]
    assert len(FOREIGN) >= 120 and len(ENGLISH) >= 38
    assert len(found) / len(FOREIGN) >= 0.9, set(FOREIGN) - set(found)
    assert len(found) / len([*found, *wrong]) >= 0.98, wrong


def test_the_packaged_words_are_english() -> None:
    """Of over 1,000 phrases by hand."""
    words = {
        change
        for name in ("toffee", "nano")
        for of_nature in load_catalog(name).changes.values()
        for changes in of_nature.values()
        for change in changes.values()
    }
    assert not [word for word in words if not is_english(word)]


@pytest.mark.parametrize(
    ("text", "english"), [("", True), ("red", True), ("?", True), ("🐱", True), ("木", False), ("a сat", False)]
)
def test_a_single_word_and_letters_of_other_scripts(text: str, english: bool) -> None:
    assert is_english(text) is english
