"""Prompts and the length that a text encoder takes."""

from pathlib import Path

import numpy as np
import open_clip
import pytest

from toffee_pipeline.config.base import CATEGORIES, ModelSpec
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.models.prompts import check_prompts, count_tokens, load_tokenizer, longest_prompt
from toffee_pipeline.models.tokenizers import clip_tokenizer, nano_tokenizer
from toffee_pipeline.plan.catalog import load_catalog

NANO, UNTRAINED = ModelSpec(weights="nano"), ModelSpec(weights="untrained")
"""The small world's tokenizer, and CLIP's own."""
OWN = """
prompts: {style: "{change} of a(n) {class}", background: "a(n) {class} {change}", color: "{change} {class}",
          texture: "{class} {change}", addition: "{class} with {change}", removal: "{class} without {change}"}
instructions: {style: "make it {change}", background: "put it {change}", color: "make it {change}",
               texture: "make it {change}", addition: "add {change}", removal: "remove {change}"}
draft_prompts: {style: [{medium: "{change}"}], background: [{class: "{class} {change}"}],
                color: [{class: "{change} {class}"}],
                texture: [{class: "{class} {change}"}], addition: [{class: "{class} with {change}"}],
                removal: [{class: "{class} without {change}"}]}
changes: {all: {background: [on a beach, PLACE]}}
groups:
  things:
    {prompts: ["{medium} of a(n) {size} {class}"], descriptions: {size: [small, SIZE]}, classes: [mug: [PART], cup]}
"""


def own(tmp_path: Path, **words: str):
    text = OWN
    for slot in ("PLACE", "SIZE", "PART"):
        text = text.replace(slot, words.get(slot, "tiny"))
    (tmp_path / "own.yaml").write_text(text)
    return load_catalog(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize(
    ("name", "spec", "limit"), [("nano", NANO, 24), ("toffee", UNTRAINED, 77)], ids=["nano", "toffee"]
)
def test_packaged_prompts_fit(name, spec, limit):
    tokenizer = load_tokenizer(spec)
    assert tokenizer.model_max_length == limit
    prompt, count = longest_prompt(load_catalog(name), tokenizer)
    assert 10 < count <= limit, prompt


@pytest.mark.parametrize(("name", "spec"), [("nano", NANO), ("toffee", UNTRAINED)], ids=["nano", "toffee"])
def test_no_prompt_is_longer_than_the_longest(name, spec):
    tokenizer, catalog, rng = load_tokenizer(spec), load_catalog(name), np.random.default_rng(0)
    drawn = [catalog.subject_prompt(entry.name, rng) for entry in catalog.classes for _ in range(5)]
    classes = [catalog.classes[int(index)] for index in rng.integers(len(catalog.classes), size=20)]
    pairs = [
        catalog.prompt(entry.name, category, change)
        for entry in classes
        for category in CATEGORIES
        for change in catalog.choices(entry.name, category)
    ]
    assert max(count_tokens(tokenizer, drawn + pairs)) <= longest_prompt(catalog, tokenizer)[1]


@pytest.mark.parametrize(
    ("slot", "prompt"),
    [
        ("PLACE", "a photo of a (small|tiny) (mug|cup) {}"),
        ("SIZE", "a photo of an {} (mug|cup) .*"),
        ("PART", "a photo of a (small|tiny) mug without {}"),
    ],
)
def test_the_longest_prompt_of_an_own_catalogue_is_named(tmp_path, slot, prompt):
    assert check_prompts(own(tmp_path), NANO) == ()
    words = "in a " + "very " * 20 + "dark forest"
    catalog = own(tmp_path, **{slot: words})
    said = r"subjects.catalog or pairs.prompt_bank: a prompt of \d+ tokens, but the text encoder takes 24: "
    message = f"{said}'{prompt.format(words)}'"
    with pytest.raises(CatalogError, match=message):
        check_prompts(catalog, NANO)
    assert check_prompts(catalog, UNTRAINED) == ()  # CLIP's own takes 77


def test_clips_own_ids_are_open_clips():
    ours, theirs = clip_tokenizer(), open_clip.SimpleTokenizer()
    texts = ["a Photo of 3 red mugs, isn't it?", "ein Käse – 漢字 🙂"]
    expected = [[theirs.sot_token_id, *theirs.encode(text), theirs.eot_token_id] for text in texts]
    assert ours(texts).input_ids == expected
    assert (len(ours), ours.model_max_length) == (theirs.vocab_size, theirs.context_length)


def test_a_pretrained_tokenizer_is_read_alone(tmp_path):
    nano_tokenizer().save_pretrained(tmp_path / "sdxl" / "tokenizer")
    spec = ModelSpec(path=tmp_path / "sdxl")
    texts = ["a photo of a red mug", "a zebra"]
    assert count_tokens(load_tokenizer(spec), texts) == count_tokens(nano_tokenizer(), texts)
    with pytest.raises(CatalogError, match="the text encoder takes 24"):
        check_prompts(own(tmp_path, SIZE="very " * 30 + "small"), spec)


def test_a_tokenizer_that_cannot_be_had_is_one_line(tmp_path):
    (line,) = check_prompts(own(tmp_path), ModelSpec(path=tmp_path / "nowhere"))
    assert line.startswith("the length of the catalogue's prompts is not checked: ")
    assert "nowhere" in line and "\n" not in line
