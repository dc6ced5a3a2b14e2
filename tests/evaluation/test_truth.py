"""What the figures of many pairs say."""

import math

import numpy as np
import pytest

from toffee_pipeline.evaluation.truth import Judged, Verdict, figures, mask_error


def judged(run: int, status: str, kind="edit", category="color", **verdict) -> Judged:
    known = {"shown": True, "kept": True, "error": 10.0, "shown_in_oracle": True, "shown_before": False}
    return Judged(run, kind, category, status, Verdict(**{**known, "kept_in_oracle": True, **verdict}))


def test_the_error_counts_inside_the_mask_alone():
    truth, target = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    target[0], target[1] = 255, 10
    mask = np.zeros((4, 4), bool)
    assert mask_error(target, truth, mask) == 0
    mask[1:3] = True
    assert mask_error(target, truth, mask) == 5 == mask_error(truth, target, mask)


def test_shares_are_of_the_accepted_the_error_of_all_with_pictures_and_the_refused_of_the_true():
    pairs = [
        judged(0, "accepted"),
        judged(0, "accepted", shown=False, error=40.0),
        judged(0, "rejected"),
        judged(1, "accepted", kept=False, error=40.0),
        judged(1, "rejected", shown=False, kept=False),
        Judged(1, "edit", "color", "rejected"),
        Judged(1, "edit", "color", "failed"),
    ]
    every, edits, colors = figures(pairs)
    assert (every.kind, edits.kind, edits.category, colors.category) == (None, "edit", None, "color")
    assert (colors.num_planned, colors.num_with_pictures, colors.num_accepted, colors.num_true) == (7, 5, 3, 2)
    assert colors.accepted.value == pytest.approx(3 / 7)
    assert colors.accepted.seeds == pytest.approx((2 / 3, 1 / 4))
    assert colors.shown.value == pytest.approx(2 / 3) == colors.kept.value
    assert colors.true.value == pytest.approx(1 / 3)
    assert colors.error.value == pytest.approx((10 + 40 + 10 + 40 + 10) / 5)
    assert colors.refused.value == pytest.approx(1 / 2)
    assert colors.error.error is not None and colors.refused.error is None  # only one run had true pairs


def test_a_category_without_accepted_pairs_has_no_share_of_them():
    (found,) = figures([Judged(0, "generation", "style", "rejected")])[2:]
    assert found.accepted.value == 0
    assert math.isnan(found.shown.value) and math.isnan(found.error.value)
