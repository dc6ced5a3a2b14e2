from collections import Counter
from pathlib import Path

import pytest
import yaml

from toffee_pipeline.plan.catalog import PACKAGED, load_catalog
from toffee_pipeline.plan.prompt_bank import PACKAGED as BANKS
from toffee_pipeline.rundir.prompt_bank import read_prompt_bank
from toffee_pipeline.safety.text_filter import WORDS, TextFilter

LABELLED = yaml.safe_load((Path(__file__).parent / "data/labelled.yaml").read_text())
PAGE = (Path(__file__).parents[2] / "docs/safety.md").read_text()


@pytest.fixture(scope="module")
def text_filter():
    return TextFilter()


def test_precision_and_recall_on_the_labelled_prompts_are_those_of_the_page(text_filter):
    found = Counter()
    rows = []
    for label, kinds in LABELLED.items():
        for kind, texts in kinds.items():
            refused = sum(text_filter.find(text) is not None for text in texts)
            found[label] += refused
            rows.append(f"| {label} | {kind} | {len(texts)} | {refused} |")
    number = {label: sum(map(len, kinds.values())) for label, kinds in LABELLED.items()}
    precision, recall = found["unsafe"] / found.total(), found["unsafe"] / number["unsafe"]
    assert sum(number.values()) >= 300
    assert precision >= 0.95 and recall >= 0.9
    missing = [row for row in rows if row not in PAGE]
    assert not missing
    assert f"precision {precision:.3f}, recall {recall:.3f}" in PAGE
    assert f"{sum(number.values())} prompts" in PAGE


def test_no_prompt_is_labelled_twice():
    prompts = Counter(text for kinds in LABELLED.values() for texts in kinds.values() for text in texts)
    assert {text for text, number in prompts.items() if number > 1} == set()


def test_a_finding_says_what_stands_there_and_what_it_is_read_as(text_filter):
    assert str(text_filter.find("a naked man")) == "sexual: 'naked'"
    assert str(text_filter.find("a p0rn film")) == "sexual: 'p0rn', read as 'porn*'"
    assert text_filter.find("a b l o o d y knife").category == "gore"


@pytest.mark.parametrize("catalog", PACKAGED)
def test_everything_that_a_packaged_catalogue_says_is_safe(text_filter, catalog):
    catalog = load_catalog(catalog)
    texts = {text for category in ("prompts", "instructions") for text in getattr(catalog, category).values()}
    for entry in catalog.classes:
        texts |= {entry.name, *entry.removable, *entry.subject_prompts}
        texts |= {word for words in entry.descriptions.values() for word in words}
    for changes in catalog.changes.values():
        texts |= {text for wordings in changes.values() for pair in wordings.items() for text in pair}
    assert [text for text in sorted(texts) if text_filter.find(text)] == []


@pytest.mark.parametrize("bank", BANKS)
def test_everything_that_a_packaged_bank_says_is_safe(text_filter, bank):
    texts = set()
    for row in read_prompt_bank(bank):
        rewritings = [text for words in row.draft_prompts or () for text in words.values()]
        texts |= {row.change, row.prompt, row.instruction, *rewritings} - {None}
    assert len(texts) > 1000
    assert [text for text in sorted(texts) if text_filter.find(text)] == []


def test_the_licence_of_the_look_alike_letters_lies_beside_them():
    text = WORDS.with_name("LICENSE-unicode.txt").read_text()
    assert text.startswith("UNICODE LICENSE V3") and "Permission is hereby granted" in text


def test_the_users_own_lists_allow_and_deny():
    assert TextFilter(allow=["naked"]).find("a naked man") is None
    assert TextFilter(allow=["cock crowing"]).find("a Cock-crowing, and a naked man").phrase == "naked"
    own = TextFilter(deny=["teapot", "mickey mouse", "brand*", "茶壶"])
    assert str(own.find("two T3apots")) == "denied: 't3apots', read as 'teapot'"
    assert own.find("Mickey  Mouse on a wall").phrase == "mickey mouse"
    assert own.find("a branded mug").phrase == "brand*"
    assert own.find("红茶 壶").phrase == "茶壶"
    assert own.find("a kettle") is None


def test_what_is_denied_is_found_even_where_it_is_allowed():
    assert TextFilter(allow=["naked"], deny=["naked"]).find("a naked man").category == "denied"


def test_every_entry_of_the_packaged_list_is_found_as_it_stands(text_filter):
    lists = yaml.safe_load(WORDS.read_text())
    entries = {phrase: category for category, phrases in lists["unsafe"].items() for phrase in phrases}
    assert [entry for entry in entries if text_filter.find(f"a {entry.removesuffix('*')} there") is None] == []
    assert [phrase for phrase in lists["benign"] if text_filter.find(f"a {phrase} there")] == []


def test_no_harmless_phrase_stands_in_the_list_without_need():
    lists = yaml.safe_load(WORDS.read_text())
    alone = TextFilter(deny=[entry for phrases in lists["unsafe"].values() for entry in phrases])
    assert [phrase for phrase in lists["benign"] if alone.find(phrase) is None] == []
