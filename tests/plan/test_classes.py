"""Which class a subject is of: weights, and quotas that are exact."""

from collections import Counter

import numpy as np
import pytest

from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ConfigError, PlanError
from toffee_pipeline.plan.classes import ClassShares
from toffee_pipeline.plan.plan import Plan, make_plan

NAMES = ("cat", "dog", "mug", "boat")


def classes(shares: ClassShares, numbers: range) -> list[str]:
    return [shares.draw(number, np.random.default_rng(number)) for number in numbers]


@pytest.mark.parametrize("num_subjects", [10, 97, 1000])
def test_a_quota_is_exact_and_the_others_share_the_rest(num_subjects):
    shares = ClassShares(NAMES, {}, {"dog": 7, "boat": 2}, num_subjects)
    counts = Counter(classes(shares, range(num_subjects)))
    assert (counts["dog"], counts["boat"], counts.total()) == (7, 2, num_subjects)
    assert shares.expected() == {"dog": 7, "boat": 2, **dict.fromkeys(("cat", "mug"), (num_subjects - 9) / 2)}


def test_a_quota_is_spread_over_the_plan():
    shares = ClassShares(NAMES, {}, {"dog": 2_000}, 10_000)
    for start in range(0, 10_000, 500):
        assert 95 <= classes(shares, range(start, start + 500)).count("dog") <= 105


def test_quotas_may_take_the_whole_plan():
    shares = ClassShares(NAMES, {}, {"dog": 3, "cat": 5}, 8)
    assert Counter(classes(shares, range(8))) == {"dog": 3, "cat": 5}


def test_of_quotas_beyond_the_plan_the_first_are_met():
    shares = ClassShares(NAMES, {}, {"dog": 3, "cat": 8, "mug": 1}, 8)
    assert shares.gap == "subjects.class_quotas: they ask for 12 subjects, the plan has 8"
    assert Counter(classes(shares, range(8))) == {"dog": 3, "cat": 5}
    assert shares.expected() == {"dog": 3, "cat": 5, "mug": 0, "boat": 0}
    assert not ClassShares(NAMES, {}, {"dog": 8}, 8).gap


def test_weights_are_shares_and_zero_leaves_a_class_out():
    shares = ClassShares(NAMES, {"cat": 3, "boat": 0}, {}, 4000)
    counts = Counter(classes(shares, range(4000)))
    assert set(counts) == {"cat", "dog", "mug"}
    for name, expected in shares.expected().items():
        assert counts[name] == pytest.approx(expected, abs=150)
    assert shares.expected() == pytest.approx({"cat": 2400, "dog": 800, "mug": 800, "boat": 0})


@pytest.mark.parametrize(
    ("weights", "quotas", "message"),
    [
        ({"cats": 2}, {}, "subjects.class_weights: the catalogue has no class 'cats'; near it are cat"),
        ({}, {"xylophone": 2}, "subjects.class_quotas: the catalogue has no class 'xylophone'$"),
        ({"cat": 2}, {"cat": 5}, "subjects.class_quotas: 'cat' has a weight too"),
        (dict.fromkeys(NAMES, 0), {}, "subjects.class_weights: no class is left for the 10 subjects without a quota"),
    ],
)
def test_what_cannot_be_met_is_one_line(weights, quotas, message):
    with pytest.raises(PlanError, match=message):
        ClassShares(NAMES, weights, quotas, 10)


def test_a_plan_keeps_its_quotas_shard_by_shard():
    asked = ("subjects.class_quotas={teapot: 5, toy car: 3}", "subjects.class_weights={mug: 0}")
    plan = Plan(load_config("nano", ("pairs.count=160", *asked)))
    counts = Counter(subject.class_name for index in reversed(range(len(plan))) for subject in plan.shard(index)[0])
    assert (counts["teapot"], counts["toy car"], counts["mug"], counts.total()) == (5, 3, 0, 40)
    assert plan.hash != Plan(load_config("nano", ("pairs.count=160",))).hash
    bank = make_plan(load_config("nano", asked[:1], SubjectBankConfig))
    assert Counter(bank.subject(number).class_name for number in range(bank.num_subjects))["teapot"] == 5


def test_without_weights_and_quotas_each_class_is_drawn_alike():
    """As it always was: the first number that a subject's own generator gives."""
    plan = Plan(load_config("nano", ("pairs.count=400",)))
    for number in range(plan.num_subjects):
        subject = plan.subject(number)
        drawn = np.random.default_rng(subject.seed).integers(len(plan.catalog.classes))
        assert subject.class_name == plan.catalog.classes[int(drawn)].name


@pytest.mark.parametrize("key", ["class_weights", "class_quotas"])
def test_images_of_your_own_have_their_own_classes(key, tmp_path):
    given = ("subjects.source=folder", f"subjects.path={tmp_path}", f"subjects.{key}={{cat: 2}}")
    with pytest.raises(ConfigError, match=f"subjects.{key} is for classes of a catalogue"):
        load_config("nano", given)
