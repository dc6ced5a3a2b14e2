"""What a dry run counts, against the plan itself."""

from collections import Counter

import numpy as np
import pytest

from tests.helpers.banks import make_bank
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import encode_png
from toffee_pipeline.plan.plan import Plan, make_plan
from toffee_pipeline.plan.survey import survey
from toffee_pipeline.rundir.inputs import new_plan

pytestmark = pytest.mark.slow


def plan(*overrides: str, profile: str = "nano") -> Plan:
    made = new_plan(load_config(profile, overrides))
    assert isinstance(made, Plan)
    return made


def everything(plan: Plan):
    shards = [plan.shard(index) for index in range(len(plan))]
    return [s for subjects, _ in shards for s in subjects], [p for _, pairs in shards for p in pairs]


def test_a_plan_that_is_counted_whole_is_the_plan():
    made = plan("pairs.count=403")
    subjects, pairs = everything(made)
    class_of = {subject.subject_id: subject.class_name for subject in subjects}
    found = survey(made)
    assert found.is_whole
    assert found.subjects == Counter(class_of.values())
    counts = Counter((class_of[pair.subject_id], pair.kind, pair.category) for pair in pairs)
    assert {(name, *cell): n for name, cells in found.pairs.items() for cell, n in cells.items()} == counts
    assert found.distinct_subjects == len({subject.prompt for subject in subjects})
    assert found.distinct_prompts == len({pair.prompt for pair in pairs})
    assert set(found.texts) == {s.prompt for s in subjects} | {p.draft_prompt for p in pairs}
    assert sum(map(found.total, found.cells)) == 403


def test_a_larger_plan_is_estimated():
    made = plan("pairs.count=4000", "pairs.removal=repaint", "subjects.class_quotas={mug: 300}")
    whole, found = survey(made, max_subjects=1000), survey(made, max_subjects=256)
    assert (found.counted, whole.counted) == (256, 1000) and not found.is_whole
    assert found.subjects["mug"] == whole.subjects["mug"] == 300
    assert sum(found.subjects.values()) == pytest.approx(1000)
    assert sum(map(found.total, found.cells)) == pytest.approx(4000, rel=0.01)
    for cell in whole.cells:
        assert found.total(cell) == pytest.approx(whole.total(cell), rel=0.4)
    assert found.distinct_subjects == pytest.approx(whole.distinct_subjects, rel=0.03)
    assert found.distinct_prompts == pytest.approx(whole.distinct_prompts, rel=0.05)


def test_of_a_bank_the_subjects_are_counted():
    found = survey(make_plan(load_config("nano", ("count=30",), SubjectBankConfig)))
    assert (found.num_rows, sum(found.subjects.values()), found.pairs, found.cells) == (30, 30, {}, [])


def test_of_pairs_of_a_bank_its_subjects_are_counted(tmp_path):
    make_bank(str(tmp_path))
    made = new_plan(load_config("nano", ("subjects.source=bank", f"subjects.path={tmp_path}", "pairs.count=400")))
    whole, found = survey(made), survey(made, max_subjects=64)
    assert whole.distinct_subjects == found.distinct_subjects == 6
    assert found.subjects.keys() == whole.subjects.keys() and sum(found.subjects.values()) == pytest.approx(100)


def test_of_a_folder_the_images_are_counted(tmp_path):
    (tmp_path / "mug").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "mug" / f"{name}.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    made = plan("subjects.source=folder", f"subjects.path={tmp_path}", "pairs.count=400")
    assert survey(made).distinct_subjects == survey(made, max_subjects=64).distinct_subjects == 3
    assert survey(made, max_subjects=64).subjects == pytest.approx({"mug": 100})
    assert survey(made).gaps == ()


SMALL = """
prompts: {style: "{change} of a {class}", background: "a {class} {change}", color: "{change} {class}",
          texture: "{class} {change}", addition: "{class} with {change}", removal: "{class} without {change}"}
instructions: {style: "make it {change}", background: "put it {change}", color: "make it {change}",
               texture: "turn it into a {class} {change}", addition: "add {change}", removal: "remove {change}"}
draft_prompts: {style: [{medium: "{change}"}], background: [{class: "{class} {change}"}],
                color: [{class: "{change} {class}"}],
                texture: [{class: "{class} {change}"}], addition: [{class: "{class} with {change}"}],
                removal: [{class: "{class} without {change}"}]}
changes: {all: {background: [on a beach, in a forest, on a hill], style: [a drawing], addition: [a hat]}}
groups: {things: {prompts: ["{medium} of a {size} {class}"], descriptions: {size: [big, small]},
                  classes: [cup: [a handle], pan, jar]}}
"""


def test_gaps_are_named(tmp_path):
    (tmp_path / "own.yaml").write_text(SMALL)
    own = f"subjects.catalog={tmp_path / 'own.yaml'}"
    asked = (own, "pairs.count=80", "subjects.class_quotas={cup: 12}", "subjects.class_weights={jar: 0}")
    assert survey(plan(*asked, "pairs.removal=repaint", "pairs.edit_fraction=0.5")).gaps == (
        "classes without a subject: jar",
        "quota of 12 'cup': the catalogue has 2 different prompts of it",
        "classes with more subjects than the catalogue has different prompts: pan",
        "edit color: no change for cup, pan",
        "edit texture: no change for cup, pan",
        "edit removal: no change for pan",
    )
    alone = (
        "pairs.count=3",
        "pairs.per_subject=1",
        "pairs.edit_fraction=1",
        "pairs.edit_categories={removal: 1, addition: 1}",
    )
    assert "edit removal: asked for, but no pair is planned" in survey(plan(own, *alone)).gaps
