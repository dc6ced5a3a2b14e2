import math

import pytest

from toffee_pipeline.evaluation.estimate import ratio


def test_an_error_bar_of_a_mean_is_its_standard_error_and_a_seed_without_pairs_does_not_count():
    estimate = ratio([2.0, 6.0, 0.0], [2, 2, 0])
    assert (estimate.value, estimate.error, estimate.seeds) == (2.0, pytest.approx(1.0), (1.0, 3.0, None))


def test_a_seed_counts_for_its_pairs():
    assert ratio([1.0, 9.0], [1, 3]).value == 2.5  # not 2, the mean of 1 and 3


def test_one_seed_has_no_error_bar_and_no_pairs_no_value():
    assert ratio([3.0], [2]).error is None
    assert math.isnan(ratio([0.0], [0]).value)
