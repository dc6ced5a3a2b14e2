"""Golden: metrics of embeddings whose cosines are known."""

import numpy as np
import pytest

from toffee_pipeline.evaluation.similarity import (
    copy_paste,
    paired,
    single,
    single_of_real,
    toffee,
    toffee_of_real,
)

X, Y, Z = np.eye(3)
DIAGONAL = (X + Y) / 2  # not of unit length: 45 degrees to X and Y
REAL = np.stack([X, 3 * Y, DIAGONAL])
HALF = np.sqrt(0.5)


def test_toffee_is_the_mean_over_all_real_pictures_and_single_is_the_input_alone():
    drawn = np.stack([5 * X, Z, -Y])
    assert toffee(drawn, REAL) == pytest.approx([(1 + 0 + HALF) / 3, 0, (0 - 1 - HALF) / 3])
    assert single(drawn, REAL) == pytest.approx([1, 0, 0])


def test_real_against_real_leaves_self_pairs_out():
    assert toffee_of_real(REAL) == pytest.approx([(0 + HALF) / 2, (0 + HALF) / 2, HALF])
    assert single_of_real(REAL) == pytest.approx([np.nan, 0, HALF], nan_ok=True)
    assert np.isnan(toffee_of_real(REAL[:1])).all()


def test_a_copy_of_the_input_is_nearer_to_it_than_the_other_real_pictures_are():
    others = (0 + HALF) / 2
    assert copy_paste(np.stack([X, Y]), REAL) == pytest.approx([1 - others, 0 - others])
    alike = np.stack([X, Y, Y, Y])  # of each other, and not of the input
    assert copy_paste(Y[None], alike) == pytest.approx([0])
    assert np.isnan(copy_paste(X[None], REAL[:1])).all()


def test_text_is_compared_by_pairs():
    assert paired(np.stack([X, X, DIAGONAL]), np.stack([2 * X, Y, X])) == pytest.approx([1, 0, HALF])


def test_what_was_not_found_is_compared_with_nothing():
    missing = np.full(3, np.nan)
    real = np.stack([X, missing, Y])
    assert toffee(np.stack([X, missing]), real) == pytest.approx([0.5, np.nan], nan_ok=True)
    assert toffee_of_real(real) == pytest.approx([0, np.nan, 0], nan_ok=True)
    assert copy_paste(X[None], real) == pytest.approx([1])
    assert np.isnan(single(X[None], np.stack([missing, X]))).all()
