"""For how long a store that is away is waited for."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from toffee_pipeline.storage.patience import Patience

OUTAGE_S = 1.0


class Away(Exception):
    pass


class Refused(Exception):
    pass


@pytest.fixture
def patience() -> Patience:
    return Patience("store", lambda error: isinstance(error, Away), str, OUTAGE_S)


def answering(*answers: Exception | str) -> Callable[[], str]:
    """A request that meets these, one after the other."""
    left: Iterator[Exception | str] = iter(answers)

    def request() -> str:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return request


def test_what_ran_for_long_before_its_first_failure_is_repeated(patience):
    """Such as the upload of a large file."""
    answer = answering(Away("restart"), "there")
    waits = iter((OUTAGE_S + 0.1, 0.0))

    def upload() -> str:
        time.sleep(next(waits))
        return answer()

    assert patience(upload) == "there" and patience.num_repeats == 1


@pytest.mark.parametrize("first", ["there", Refused("no such key")])
def test_a_store_has_answered_once_it_was_there_be_it_to_refuse(patience, first):
    patience.outage_s = 0
    with pytest.raises(Away):
        patience(answering(Away("gone")))
    assert not patience.answered
    with suppress(Refused):
        patience(answering(first))
    with pytest.raises(Away):
        patience(answering(Away("gone")))
    assert patience.answered


def test_a_refusal_ends_an_outage(patience):
    with pytest.raises(Refused):
        patience(answering(Away("restart"), Refused("no such key")))
    time.sleep(OUTAGE_S + 0.1)
    assert patience(answering(Away("hiccup"), "there")) == "there" and patience.num_repeats == 2


def test_a_store_that_stays_away_is_given_up_and_then_at_once(patience):
    began = time.monotonic()
    with pytest.raises(Away):
        patience(answering(*[Away("gone")] * 100))
    assert time.monotonic() - began >= OUTAGE_S
    repeats = patience.num_repeats
    with pytest.raises(Away):
        patience(answering(Away("gone"), "there"))
    assert patience.num_repeats == repeats
