"""The plan: pure, exact in its shares, cheap per shard."""

from collections import Counter
from pathlib import Path

import pytest

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan import catalog
from toffee_pipeline.plan.plan import Plan, make_plan, shard_of_pair
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.subjects import subject_number
from toffee_pipeline.rundir.inputs import new_plan
from toffee_pipeline.schema.pairs import planned_from, planned_row

pytestmark = pytest.mark.slow

PACKAGED_FOLDER = Path(catalog.__file__).parent / "catalogs"


def plan(*overrides: str, profile: str = "nano") -> Plan:
    made = new_plan(load_config(profile, overrides))
    assert isinstance(made, Plan)
    return made


def everything(plan: Plan):
    shards = [plan.shard(index) for index in range(len(plan))]
    return [s for subjects, _ in shards for s in subjects], [p for _, pairs in shards for p in pairs]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pairs.count=1000000000"], "the plan has 15625000 shards; allowed are 1000000: raise subjects_per_shard"),
        (["pairs.count=1000000000", "subjects_per_shard=1000000"], "a shard has 4000000 rows; allowed are 100000: "),
        (["pairs.count=1000000", "pairs.per_subject=1000000"], "a shard has 1000000 rows; allowed are 100000: "),
    ],
)
def test_a_plan_that_nobody_could_hold_is_one_line(overrides, message):
    with pytest.raises(PlanError, match=f"^{message}"):
        plan(*overrides)


def test_a_million_pairs_in_small_or_large_shards_are_no_matter():
    assert len(plan("pairs.count=1000000", "pairs.per_subject=1", "subjects_per_shard=1")) == 1_000_000
    assert len(plan("pairs.count=1000000", "subjects_per_shard=25000")) == 10


@pytest.mark.parametrize(("count", "per_subject", "per_shard"), [(64, 4, 2), (65, 4, 2), (1, 4, 8), (103, 7, 3)])
def test_shards_cover_the_plan_exactly_once(count, per_subject, per_shard):
    made = plan(f"pairs.count={count}", f"pairs.per_subject={per_subject}", f"subjects_per_shard={per_shard}")
    subjects, pairs = everything(made)
    assert len(pairs) == len({pair.pair_id for pair in pairs}) == count == made.num_rows
    assert len(subjects) == len({subject.subject_id for subject in subjects}) == made.num_subjects
    assert {pair.subject_id for pair in pairs} == {subject.subject_id for subject in subjects}
    assert max(Counter(pair.subject_id for pair in pairs).values()) <= per_subject
    assert sum(made.num_rows_of(index) for index in range(len(made))) == count


@pytest.mark.parametrize(("count", "shards"), [(4, 1), (16, 4), (256, 64), (4096, 64), (4100, 65), (1_000_000, 15_625)])
def test_a_small_run_has_many_shards_and_a_large_one_large_shards(count, shards):
    assert len(make_plan(load_config("nano", (f"pairs.count={count}",)))) == shards


def test_the_same_config_gives_the_same_plan_and_another_seed_another_one():
    assert everything(plan()) == everything(plan())
    assert plan().hash == plan().hash
    assert plan("seed=1").hash != plan().hash
    assert {p.prompt for p in everything(plan("seed=1"))[1]} != {p.prompt for p in everything(plan())[1]}


def test_what_cannot_change_content_keeps_the_hash():
    assert plan("placement=inline", "stages.refine.a=0.5").hash == plan().hash


def test_kinds_and_categories_follow_their_shares():
    _, pairs = everything(plan("pairs.count=1200", "pairs.edit_fraction=0.25", "pairs.removal=repaint"))
    assert sum(pair.kind == "edit" for pair in pairs) == 300
    generation = Counter(pair.category for pair in pairs if pair.kind == "generation")
    assert set(generation) == {"style", "background"}
    assert generation["background"] / 900 == pytest.approx(0.7, abs=0.05)
    edits = Counter(pair.category for pair in pairs if pair.kind == "edit")
    assert set(edits) == set(CATEGORIES)


def test_a_removal_is_an_addition_of_the_same_subject_turned_round():
    _, pairs = everything(plan("pairs.count=1200", "pairs.per_subject=8", "pairs.edit_fraction=0.5", profile="nano"))
    by_id = {pair.pair_id: pair for pair in pairs}
    removals = [pair for pair in pairs if pair.category == "removal"]
    sources = [by_id[pair.reversed_from] for pair in removals]
    assert all(pair.reversed_from is None for pair in pairs if pair.category != "removal")
    for removal, source in zip(removals, sources, strict=True):
        assert (source.subject_id, source.category, source.change) == (removal.subject_id, "addition", removal.change)
        assert removal.prompt == source.prompt.replace(" with ", " without ")
        assert removal.edit_region == "around"  # where its addition was painted
    assert len({source.pair_id for source in sources}) == len(sources)


EQUAL = dict.fromkeys(CATEGORIES, 1 / 6)


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ((), EQUAL),  # of 1.36 edit pairs per subject: many have a single one
        (("pairs.edit_fraction=0.5",), EQUAL),
        (("pairs.per_subject=12",), EQUAL),
        (
            ("pairs.edit_categories={addition: 2, removal: 1, style: 1}",),
            {"addition": 0.5, "removal": 0.25, "style": 0.25},
        ),
        # each removal has an addition
        (
            ("pairs.per_subject=12", "pairs.edit_categories={removal: 1, style: 3}"),
            {"addition": 0.2, "removal": 0.2, "style": 0.6},
        ),
        (
            ("pairs.per_subject=12", "pairs.edit_categories={addition: 1, removal: 3, style: 1}"),
            {"addition": 3 / 7, "removal": 3 / 7, "style": 1 / 7},
        ),
        (
            ("pairs.per_subject=8", "pairs.edit_fraction=1", "pairs.edit_categories={removal: 1}"),
            {"addition": 0.5, "removal": 0.5},
        ),
    ],
)
def test_edit_categories_have_the_shares_that_are_asked(overrides, asked):
    _, pairs = everything(plan("pairs.count=2000", *overrides))
    edits = Counter(pair.category for pair in pairs if pair.kind == "edit")
    shares = {category: number / edits.total() for category, number in edits.items()}
    assert shares == pytest.approx(asked, abs=0.045)


def test_every_couple_of_edit_pairs_is_used_where_there_are_too_few():
    """Of 1.04 edit pairs per subject: one in 26 has two."""
    _, pairs = everything(plan("pairs.count=2000", "pairs.edit_fraction=0.26"))
    edits = Counter(pair.category for pair in pairs if pair.kind == "edit")
    assert edits["removal"] / edits.total() == pytest.approx(0.04 / 1.04, abs=0.001)


def test_a_subject_with_one_edit_pair_has_no_removal():
    _, pairs = everything(plan("pairs.count=400", "pairs.per_subject=1", "pairs.edit_fraction=1", profile="nano"))
    assert {pair.category for pair in pairs} == set(CATEGORIES) - {"removal"}


def test_drafts_may_have_the_short_prompt():
    subjects, full = everything(plan("pairs.count=80", profile="nano"))
    _, short = everything(plan("pairs.count=80", "pairs.draft_prompt=short", profile="nano"))
    assert [pair.draft_prompt for pair in short] == [pair.prompt for pair in full]
    described = {subject.subject_id: subject.prompt for subject in subjects}
    for pair in full:
        if pair.category == "background":
            assert described[pair.subject_id].startswith(pair.draft_prompt.removesuffix(f" {pair.change}"))


def test_the_change_stands_in_the_prompt():
    subjects, pairs = everything(plan("pairs.count=400", profile="nano"))
    names = {subject.subject_id: subject.class_name for subject in subjects}
    for pair in pairs:
        assert names[pair.subject_id] in pair.prompt
        assert pair.change.split()[-1] in pair.prompt


def test_seeds_differ_by_id_and_stage_and_are_pure():
    assert seed_for("p1", "draft") == seed_for("p1", "draft")
    assert len({seed_for(f"p{i}", stage) for i in range(100) for stage in ("draft", "view")}) == 200
    assert 0 <= seed_for("p1", "draft") < 2**63


def test_a_million_scale_shard_is_computed_alone():
    made = plan("pairs.count=5000000", profile="sdxl")
    subjects, pairs = made.shard(len(made) - 1)
    assert pairs[-1].pair_id == "p004999999"
    assert len(subjects) <= 16
    with pytest.raises(IndexError):
        made.shard(len(made))


def made_by(plan: Plan):
    """(subject, kind, category, change) of every pair, and how often."""
    return Counter((pair.subject_id, pair.kind, pair.category, pair.change) for pair in everything(plan)[1])


@pytest.mark.parametrize("profile", ["nano", "sdxl"])
def test_no_pair_of_a_subject_repeats_another(profile):
    assert set(made_by(plan("pairs.count=1000", profile=profile)).values()) == {1}
    assert set(made_by(plan("pairs.count=400", "pairs.per_subject=20", profile=profile)).values()) == {1}


def test_a_catalogue_that_is_too_small_gives_each_change_before_one_comes_again(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(
        """
prompts: {style: "{change} of a {class}", background: "a {class} {change}", color: "{change} {class}",
          texture: "{class} {change}", addition: "{class} with {change}", removal: "{class} without {change}"}
instructions: {style: "make it {change}", background: "put it {change}", color: "make it {change}",
  texture: "make it {change}", addition: "add {change}", removal: "remove {change}"}
draft_prompts: {style: [{medium: "{change}"}], background: [{class: "{class} {change}"}],
                color: [{class: "{change} {class}"}],
                texture: [{class: "{class} {change}"}], addition: [{class: "{class} with {change}"}],
                removal: [{class: "{class} without {change}"}]}
changes: {all: {background: [on a beach, in a forest, on a hill], style: [a drawing]}}
groups: {things: {prompts: ["{medium} of a {class}"], classes: [cup]}}
"""
    )
    pairs = ("pairs.count=200", "pairs.edit_fraction=0", f"subjects.catalog={path}")
    assert set(made_by(plan(*pairs, "pairs.per_subject=4")).values()) == {1}  # there are just four
    subjects, _ = everything(plan(*pairs, "pairs.per_subject=10"))
    counts = made_by(plan(*pairs, "pairs.per_subject=10"))
    assert len(counts) == 4 * len(subjects) and sum(counts.values()) == 200


def test_first_draws_are_kept():
    """Pairs that repeat no earlier first draw of their subject are as if each were drawn alone."""
    made = plan("pairs.count=400", "pairs.per_subject=20", "pairs.edit_fraction=0")
    subjects, pairs = everything(made)
    kept = 0
    for start, subject in zip(range(0, 400, 20), subjects, strict=True):
        seen = set()
        for pair in pairs[start : start + 20]:
            alone = made._pairs_of("generation", [int(pair.pair_id[1:])], subject)[0]
            if (alone.category, alone.change) not in seen:
                assert pair == alone
                kept += 1
            seen.add((alone.category, alone.change))
    assert 200 < kept < 400


def test_seeds_and_ids_do_not_depend_on_what_is_drawn_again():
    _, pairs = everything(plan("pairs.count=400", "pairs.per_subject=20"))
    assert [pair.pair_id for pair in pairs] == [f"p{number:09d}" for number in range(400)]
    assert [pair.seed for pair in pairs] == [seed_for(f"0/{pair.pair_id}", "pair") for pair in pairs]


def test_the_row_and_the_id_of_a_pair_tell_all_of_it():
    made = plan("pairs.count=23", "pairs.per_subject=3", "subjects_per_shard=2")
    for index in range(len(made)):
        subjects, pairs = made.shard(index)
        by_id = {subject.subject_id: subject for subject in subjects}
        for pair in pairs:
            subject = by_id[pair.subject_id]
            assert planned_from(planned_row(pair, subject)) == (pair, subject)
            assert shard_of_pair(made.config, pair.pair_id) == index
            assert subject_number(subject.subject_id) in made.numbers(index)


def test_changes_of_other_languages_are_refused_or_passed_and_counted(tmp_path):
    own = (PACKAGED_FOLDER / "nano.yaml").read_text().replace("- on a beach", "- an einem Strand mit Muscheln")
    (tmp_path / "own.yaml").write_text(own)
    named = f"subjects.catalog={tmp_path / 'own.yaml'}"
    refused, passed = plan(named), plan(named, "other_languages=pass")
    assert "an einem Strand mit Muscheln" not in refused.catalog.choices("mug", "background")
    assert "an einem Strand mit Muscheln" in passed.catalog.choices("mug", "background")
    told = "subjects.catalog: 1 phrases that are not English are"
    assert refused.notes == (f"{told} left out: an einem Strand mit Muscheln",)
    assert passed.notes == (f"{told} kept: an einem Strand mit Muscheln",)
    assert passed.hash != refused.hash
