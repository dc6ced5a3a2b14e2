"""The inline executor: a shard is written while the next one is computed."""

import threading

import pytest

from actors.executors.inline import written_behind

WAIT_S = 30.0


def test_a_shard_is_written_while_the_next_one_is_computed():
    writing, computing = ([threading.Event() for _ in range(4)] for _ in range(2))
    computing[3].set()  # nothing comes after the last one

    def shards():
        for number in range(3):
            computing[number].set()
            assert number == 0 or writing[number - 1].wait(WAIT_S)
            yield number

    def write(number):
        writing[number].set()
        assert computing[number + 1].wait(WAIT_S)
        return number

    assert list(written_behind(shards(), write)) == [0, 1, 2]


def test_a_shard_that_cannot_be_computed_leaves_the_one_before_written():
    written = []

    def shards():
        yield 0
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        list(written_behind(shards(), written.append))
    assert written == [0]


def test_a_shard_that_cannot_be_written_ends_the_run():
    def write(number):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(written_behind(iter(range(3)), write))


def test_nothing_is_written_after_the_run_was_stopped():
    written = []
    shards = written_behind(iter(range(3)), lambda number: written.append(number) or number)
    assert next(shards) == 0
    shards.close()
    assert written == [0]
