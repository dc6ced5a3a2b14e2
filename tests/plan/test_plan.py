"""The plan: pure, exact in its shares, cheap per shard."""

from collections import Counter

import pytest

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.plan import Plan, class_words, seed_for


def plan(*overrides: str, profile: str = "nano") -> Plan:
    return Plan(load_config(profile, overrides))


def everything(plan: Plan):
    shards = [plan.shard(index) for index in range(len(plan))]
    return [s for subjects, _ in shards for s in subjects], [p for _, pairs in shards for p in pairs]


@pytest.mark.parametrize(("count", "per_subject", "per_shard"), [(64, 4, 2), (65, 4, 2), (1, 4, 8), (103, 7, 3)])
def test_shards_cover_the_plan_exactly_once(count, per_subject, per_shard):
    made = plan(f"pairs.count={count}", f"pairs.per_subject={per_subject}", f"subjects_per_shard={per_shard}")
    subjects, pairs = everything(made)
    assert len(pairs) == len({pair.pair_id for pair in pairs}) == count == made.num_pairs
    assert len(subjects) == len({subject.subject_id for subject in subjects}) == made.num_subjects
    assert {pair.subject_id for pair in pairs} == {subject.subject_id for subject in subjects}
    assert max(Counter(pair.subject_id for pair in pairs).values()) <= per_subject
    assert sum(made.num_pairs_of(index) for index in range(len(made))) == count


def test_the_same_config_gives_the_same_plan_and_another_seed_another_one():
    assert everything(plan()) == everything(plan())
    assert plan().hash == plan().hash
    assert plan("seed=1").hash != plan().hash
    assert {p.prompt for p in everything(plan("seed=1"))[1]} != {p.prompt for p in everything(plan())[1]}


def test_what_cannot_change_content_keeps_the_hash():
    assert plan("placement=inline", "stages.refine.a=0.5").hash == plan().hash


def test_kinds_and_categories_follow_their_shares():
    _, pairs = everything(plan("pairs.count=1200", "pairs.edit_fraction=0.25"))
    assert sum(pair.kind == "edit" for pair in pairs) == 300
    generation = Counter(pair.category for pair in pairs if pair.kind == "generation")
    assert set(generation) == {"style", "background"}
    assert generation["background"] / 900 == pytest.approx(0.7, abs=0.05)
    edits = Counter(pair.category for pair in pairs if pair.kind == "edit")
    assert set(edits) == set(CATEGORIES)


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


def test_a_folder_gives_its_images_in_order_and_odd_names_their_words(tmp_path):
    for name in ("fancy_boot/00.jpg", "fancy_boot/01.JPG", "dog2/a b.png", "überrest/ö.webp", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    made = plan("subjects.source=folder", f"subjects.path={tmp_path}", "pairs.count=20", "pairs.per_subject=2")
    subjects, pairs = everything(made)
    assert [s.path for s in subjects[:5]] == [
        "dog2/a b.png", "fancy_boot/00.jpg", "fancy_boot/01.JPG", "überrest/ö.webp", "dog2/a b.png",
    ]  # fmt: skip
    assert [s.class_name for s in subjects[:4]] == ["dog", "fancy boot", "fancy boot", "überrest"]
    assert "removal" not in {pair.category for pair in pairs}  # nothing is known that could be removed
    assert subjects[0].seed != subjects[4].seed
    (tmp_path / "dog2/c.png").write_bytes(b"")
    assert (
        plan("subjects.source=folder", f"subjects.path={tmp_path}", "pairs.count=20", "pairs.per_subject=2").hash
        != made.hash
    )


def test_class_words():
    assert [class_words(name) for name in ("rc_car", "dog8", "poop-emoji", "2023")] == [
        "rc car",
        "dog",
        "poop emoji",
        "object",
    ]


def test_a_folder_without_images_or_no_folder_is_a_clear_error(tmp_path):
    with pytest.raises(PlanError, match="no image"):
        plan("subjects.source=folder", f"subjects.path={tmp_path}")
    with pytest.raises(PlanError, match="not a folder"):
        plan("subjects.source=folder", f"subjects.path={tmp_path / 'missing'}")
