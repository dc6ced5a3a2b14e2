"""Which shards of answers count: those of a model that is there."""

import pytest

from actors.expand import whole_shards
from toffee_pipeline.errors import NoAnswer
from toffee_pipeline.expansion.store import Answered

SIZES = {0: 2, 1: 2, 2: 2}


def answers(*said):
    """Of shards and texts; None: the server fails."""
    for number, (shard, text) in enumerate(said):
        yield shard, Answered(f"ask-{number}", text, None if text else "HTTP 500: oops", None)


def test_a_server_that_goes_in_the_middle_of_a_round_uses_up_nothing():
    said = answers((0, "yes"), (0, None), (1, None), (1, None), (2, None), (2, None))
    shards = whole_shards(said, SIZES, "some/model")
    assert next(shards)[0] == 0
    with pytest.raises(NoAnswer, match="^some/model answers none of the last 4 questions: HTTP 500: oops$"):
        next(shards)


def test_a_server_that_fails_at_some_questions_goes_on():
    said = answers((0, "yes"), (1, None), (1, None), (2, None), (0, "yes"), (2, "yes"))
    found = list(whole_shards(said, SIZES, "some/model"))
    assert [shard for shard, _ in found] == [1, 0, 2]
    assert [[each.text for each in shard] for _, shard in found] == [[None, None], ["yes", "yes"], [None, "yes"]]


def test_a_server_that_answers_nothing_is_not_asked_on():
    said = answers((1, None), (0, None), (1, None), (2, None))
    with pytest.raises(NoAnswer, match="^some/model answers none of 2 questions: HTTP 500: oops$"):
        next(whole_shards(said, SIZES, "some/model"))
    assert next(said)[0] == 2
