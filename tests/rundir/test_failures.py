"""The limit on failed pairs."""

import pytest

from toffee_pipeline.errors import TooManyFailures
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.failures import FailureLimit


def counts(planned: int, **errors: int) -> ShardCounts:
    return ShardCounts(planned=planned, failed=sum(errors.values()), errors=errors)


def test_it_waits_for_fifty_pairs_then_names_the_most_frequent_error_first():
    limit = FailureLimit(0.05)
    limit.add(counts(49, rare=1, common=30))
    with pytest.raises(TooManyFailures, match=r"32 of 50 pairs failed.*=0.05 .*: 30 x common; 2 x rare$"):
        limit.add(counts(1, rare=1))


def test_a_broken_network_counts_and_a_bad_sample_does_not():
    limit = FailureLimit(0.05)
    limit.add(ShardCounts(planned=60, accepted=20, rejected={"low_dino": 30, "duplicate_subject": 10}))
    with pytest.raises(TooManyFailures, match=r"50 of 110 pairs failed.*: 40 x flat_image; 7 x not_finite; 3 x other$"):
        limit.add(ShardCounts(planned=50, failed=3, errors={"other": 3}, rejected={"flat_image": 40, "not_finite": 7}))


def test_as_many_as_allowed_pass():
    limit = FailureLimit(0.05)
    for _ in range(10):
        limit.add(counts(100, broken=5))
    with pytest.raises(TooManyFailures):
        limit.add(counts(1, broken=1))
    FailureLimit(1).add(counts(100, broken=100))
    FailureLimit(0).add(counts(100))
    with pytest.raises(TooManyFailures):
        FailureLimit(0).add(counts(100, broken=1))
