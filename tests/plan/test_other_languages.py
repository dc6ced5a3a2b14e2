"""What a plan does with what is not told in English, from the catalogue to the ledger."""

from collections import Counter

import numpy as np
import pytest

from jobs.generate import generate
from tests.helpers.banks import make_bank
from tests.helpers.small_run import rows_of
from tests.helpers.stub_stages import STUB_STAGES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import encode_png
from toffee_pipeline.plan.catalog import PACKAGED, load_catalog
from toffee_pipeline.plan.catalog_language import english_only
from toffee_pipeline.plan.plan import Plan

pytestmark = pytest.mark.slow

OWN = """
prompts: {style: "{change} of a(n) {class}", background: "a photo of a(n) {class} {change}",
          color: "a photo of a(n) {change} {class}", texture: "eine {class} aus {change}",
          addition: "a photo of a(n) {class} with {change}", removal: "a photo of a(n) {class} without {change}"}
instructions: {style: "make it {change}", background: "put it {change}", color: "color it {change}",
               texture: "make it {change}", addition: "add {change}", removal: "remove {change}"}
draft_prompts: {style: [{medium: "{change}"}], background: [{class: "{class} {change}"}],
                color: [{class: "{change} {class}"}], texture: [{class: "{class} {change}"}],
                addition: [{class: "{class} with {change}"}], removal: [{class: "{class} without {change}"}]}
changes: {all: {background: [on a hill, in a tea house], texture: [made of wood, made of glass]}}
groups:
  cups:
    prompts: ["{medium} of a(n) {size} {class}", "{medium} の {size} {class}"]
    descriptions: {size: [small, 小]}
    classes: [cup, 茶壶]
  boxes: {prompts: ["{medium} of a(n) {look} {class}"], descriptions: {look: [古い]}, classes: [box]}
"""
PAIRS = ("pairs.count=48", "pairs.edit_fraction=0", "pairs.generation_categories={background: 1, texture: 1}")
JAPANESE = "{medium} の {size} {class}"


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    return f"subjects.catalog={tmp_path / 'own.yaml'}"


def config(*overrides):
    return load_config("nano", ("placement=inline", "subjects_per_shard=4", *PAIRS, *overrides))


def test_words_and_templates_that_have_others_are_left_out_and_the_rest_is_named(own):
    refused, passed = Plan(config(own)), Plan(config(own, "other_languages=pass"))
    cup = refused.catalog.entry("cup")
    assert cup.descriptions["size"] == ("small",) and cup.subject_prompts == ("{medium} of a(n) {size} {class}",)
    assert passed.catalog.entry("cup").descriptions["size"] == ("small", "小")
    told = "subjects.catalog: 2 phrases that are not English are"
    untold = "subjects.catalog: not told in English, so what is of them is"
    for plan, left, fate in ((refused, "left out", "rejected"), (passed, "kept", "kept")):
        assert plan.notes == (
            f"{told} {left}: {JAPANESE}, 小",
            f"{untold} {fate}: class box, class 茶壶, texture",
        )


def test_what_cannot_be_left_out_is_rejected_and_counted(own, tmp_path):
    summary = generate(config(own), str(tmp_path / "run"), stages=STUB_STAGES)
    rows = rows_of(tmp_path / "run")
    untold = [row for row in rows if row["class_name"] in ("茶壶", "box") or row["category"] == "texture"]
    assert {row["class_name"] for row in rows} == {"cup", "茶壶", "box"}
    assert 0 < len(untold) < len(rows) == 48
    assert {row["pair_id"] for row in rows if row["reason"] == "other_language"} == {row["pair_id"] for row in untold}
    assert summary.rejected == {"other_language": len(untold)} and summary.accepted == 48 - len(untold)
    assert all(row["error"].startswith("not in English: '") and sum(row["stage_s"].values()) == 0 for row in untold)
    passed = generate(config(own, "other_languages=pass"), str(tmp_path / "passed"), stages=STUB_STAGES)
    assert passed.rejected == {} and passed.accepted == 48


def test_a_banks_subjects_are_read(own, tmp_path):
    (tmp_path / "own.yaml").write_text(OWN.replace(", 小", "").replace(f', "{JAPANESE}"', ""))  # cups are English
    make_bank(str(tmp_path / "bank"), own, "other_languages=pass", "count=24")
    bank = ("subjects.source=bank", f"subjects.path={tmp_path / 'bank'}")
    summary = generate(config(*bank), str(tmp_path / "run"), stages=STUB_STAGES)
    rows = rows_of(tmp_path / "run")
    reasons = Counter((row["class_name"], row["reason"]) for row in rows)
    assert reasons["茶壶", "other_language"] > 0 == reasons["茶壶", None]
    assert reasons["box", "other_language"] > 0 == reasons["box", None]
    assert reasons["cup", None] > 0
    assert summary.rejected == {"other_language": sum(row["reason"] == "other_language" for row in rows)}
    assert generate(config(*bank, "other_languages=pass"), str(tmp_path / "all"), stages=STUB_STAGES).accepted == 48


def test_of_a_subject_bank_its_own_subjects_are_rejected(own, tmp_path):
    make_bank(str(tmp_path / "bank"), own, "count=24")
    rows = rows_of(tmp_path / "bank")
    assert {row["class_name"] for row in rows if row["reason"] == "other_language"} == {"茶壶", "box"}
    assert {row["class_name"] for row in rows if row["reason"] != "other_language"} == {"cup"}


def test_a_folders_name_tells_its_class(tmp_path):
    for name in ("cup", "茶壶"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    folder = ("subjects.source=folder", f"subjects.path={tmp_path / 'photos'}")
    generate(config(*folder), str(tmp_path / "run"), stages=STUB_STAGES)
    found = {(row["class_name"], row["reason"]) for row in rows_of(tmp_path / "run")}
    assert found == {("cup", None), ("茶壶", "other_language")}


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_catalogue_is_english_and_is_not_asked(name):
    assert Plan(config(f"subjects.catalog={name}")).notes == ()
    _, foreign = english_only(load_catalog(name))
    assert (foreign.classes, foreign.categories) == (frozenset(), frozenset())
    assert set(foreign.phrases) <= {"polka dots"}
