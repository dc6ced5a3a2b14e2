"""The limit on failed pairs."""

import numpy as np
import pytest

from toffee_pipeline.errors import TooManyFailures
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.failures import FailureLimit

PER_SUBJECT, SUBJECTS = 4, 16
"""As in a run of a million pairs."""


def counts(planned: int, **errors: int) -> ShardCounts:
    return ShardCounts(planned=planned, failed=sum(errors.values()), errors=errors)


def shards_until_stopped(share: float, num_shards: int, seed: int) -> int | None:
    """Of a run where each subject fails with all its pairs by this share. None: it is not stopped."""
    limit = FailureLimit(0.05, "pair", PER_SUBJECT)
    for shard, failed in enumerate(np.random.default_rng(seed).binomial(SUBJECTS, share, num_shards)):
        try:
            limit.add(counts(PER_SUBJECT * SUBJECTS, flat=PER_SUBJECT * int(failed)))
        except TooManyFailures:
            return shard + 1
    return None


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


@pytest.mark.parametrize("share", [0.002, 0.02, 0.05])
def test_a_run_within_the_limit_goes_on_however_often_it_is_looked_at(share):
    assert [shards_until_stopped(share, 200, seed) for seed in range(50)] == [None] * 50


@pytest.mark.parametrize(("share", "shards"), [(1.0, 1), (0.5, 3), (0.2, 20), (0.1, 120)])
def test_a_run_above_the_limit_is_stopped_the_sooner_the_worse_it_is(share, shards):
    stopped = [shards_until_stopped(share, shards, seed) for seed in range(20)]
    assert None not in stopped


def test_one_flat_subject_in_the_first_shard_is_no_sign_and_fifty_lone_pairs_are():
    FailureLimit(0.05, "pair", PER_SUBJECT).add(counts(64, flat=4))
    limit = FailureLimit(0.05)
    limit.add(counts(200, broken=10))
    with pytest.raises(TooManyFailures):
        limit.add(counts(200, broken=40))


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.5, 0.99])
def test_fifty_pairs_of_one_subject_that_all_fail_are_plain(limit):
    with pytest.raises(TooManyFailures, match="50 of 50 pairs failed"):
        FailureLimit(limit, "pair", 50).add(counts(50, broken=50))


def test_at_the_end_the_share_counts_of_no_fewer_than_fifty_pairs():
    limit = FailureLimit(0.05, "pair", PER_SUBJECT)
    limit.add(counts(49, broken=4))
    limit.end()
    limit.add(counts(11))
    with pytest.raises(TooManyFailures, match="4 of 60 pairs failed"):
        limit.end()
    limit.add(counts(20))
    limit.end()


def test_none_all_and_no_failure():
    for limit, failed in ((FailureLimit(1), 100), (FailureLimit(0), 0)):
        limit.add(counts(100, broken=failed))
        limit.end()
    with pytest.raises(TooManyFailures):
        FailureLimit(0).add(counts(100, broken=1))
