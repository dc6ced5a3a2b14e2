"""Figures of an evaluation from the scores of its pictures."""

import math

import pytest

from toffee_pipeline.evaluation.figures import group, groups_by, mean, mean_of_subjects, self_test
from toffee_pipeline.evaluation.published import REAL, TABLE_1


def row(subject: str, dino: float | None, category: str = "background"):
    status = "failed" if dino is None else "accepted"
    return {"subject_id": subject, "dino": dino, "status": status, "category": category}


def test_the_interval_is_over_subjects_and_not_over_pictures():
    apart = mean([0.0] * 50 + [1.0] * 50, ["cat"] * 50 + ["dog"] * 50)
    assert (apart.value, apart.low, apart.high, apart.num) == (0.5, 0, 1, 100)
    alike = mean([0.0, 1.0] * 50, ["cat"] * 50 + ["dog"] * 50)
    assert (alike.low, alike.high) == (0.5, 0.5)
    assert mean([0.2, 0.4], ["cat", "cat"]).low is None


def test_the_order_of_pictures_changes_no_bit():
    values, subjects = [0.1, 0.7, 0.3, 0.9, 0.2], ["a", "b", "a", "c", "b"]
    assert mean(values, subjects) == mean(values[::-1], subjects[::-1])


def test_a_failed_picture_is_counted_and_not_scored_as_zero():
    found = group("all", [row("cat", 0.8), row("cat", None), row("dog", 0.6), row("dog", math.nan)], ["dino"])
    assert found.figures["dino"].value == pytest.approx(0.7)
    assert (found.num_planned, found.num_failed, found.figures["dino"].num) == (4, 1, 2)
    assert group("none", [row("cat", None)], ["dino"]).figures["dino"].value is None


def test_a_table_has_a_row_for_each_category():
    rows = [row("cat", 0.8), row("cat", 0.4, "style"), row("dog", 0.6, "style")]
    assert [(each.name, each.figures["dino"].value) for each in groups_by("category", rows, ["dino"])] == [
        ("background", 0.8),
        ("style", 0.5),
    ]


def test_of_real_pictures_a_subject_with_more_of_them_counts_no_more():
    assert mean_of_subjects([0.9, 0.1, 0.1, 0.1], ["a", "b", "b", "b"]).value == pytest.approx(0.5)


def test_the_self_test_holds_within_its_tolerance():
    rows = [row("a", 0.770), row("b", 0.780)]
    assert self_test(rows, {"dino": "dino"}, {"dino": 0.774}, "published").holds is True
    assert self_test(rows, {"dino": "dino"}, {"dino": 0.7805}, "published").holds is False
    assert self_test(rows, {"dino": "dino"}, None, "unknown").holds is None
    assert self_test([row("a", None)], {"dino": "dino"}, {"dino": 0.774}, "published").holds is False


def test_the_papers_table():
    ours = {(each.method, each.backbone): each for each in TABLE_1}["ToffeeNet", "Stable Diffusion"]
    assert (ours.dino, ours.clip_i, ours.clip_t) == (0.728, 0.817, 0.306)
    assert (REAL["dino"], REAL["clip_i"]) == (TABLE_1[0].dino, TABLE_1[0].clip_i)
