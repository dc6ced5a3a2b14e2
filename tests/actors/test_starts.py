"""An actor that cannot start: the run ends where none could, and goes on where others can."""

import pytest

from actors.starts import StartRecord, starting
from toffee_pipeline.errors import ConfigError

BROKEN = RuntimeError("CUDA error: uncorrectable ECC error encountered\nCompile with TORCH_USE_CUDA_DSA")


def start(record, told, num_actors, error=None):
    def call(method, *args):
        return getattr(record, method)(*args)

    with starting("Draft", num_actors, call, told.append):
        if error:
            raise error


def test_where_another_has_started_the_machine_is_to_blame():
    record = StartRecord()
    start(record, [], 300)
    record.failed("Draft", None)
    assert record.machine_is_to_blame("Draft", 300) is True
    assert record.machine_is_to_blame("View", 300) is None


@pytest.mark.parametrize(("num_actors", "failures"), [(1, 1), (2, 2), (3, 3), (300, 3)])
def test_where_none_can_start_the_run_is(num_actors, failures):
    record = StartRecord()
    for _ in range(failures):
        assert record.machine_is_to_blame("Draft", num_actors) is None
        record.failed("Draft", None)
    assert record.machine_is_to_blame("Draft", num_actors) is False


@pytest.mark.parametrize(
    ("error", "line", "kept"),
    [
        (BROKEN, "cannot start: RuntimeError: CUDA error: uncorrectable ECC error encountered", False),
        (ConfigError("no weights in /x"), "cannot start: no weights in /x", True),
    ],
    ids=["gpu", "weights"],
)
def test_the_only_actor_that_cannot_start_raises_and_says_it_in_a_line(error, line, kept):
    record, told = StartRecord(), []
    with pytest.raises(type(error)):
        start(record, told, 1, error)
    assert told == [line]
    assert record.error() is (error if kept else None)  # what the user can mend reaches him as it is


def test_one_waits_until_another_has_started():
    record, asked = StartRecord(), []

    def call(method, *args):
        if method == "machine_is_to_blame":
            asked.append(record.machine_is_to_blame(*args))
            record.failed("Draft", None)  # meanwhile two others fail as well
            return asked[-1]
        return getattr(record, method)(*args)

    with pytest.raises(RuntimeError, match="ECC"), starting("Draft", 8, call, print, look_every_s=0.01):
        raise BROKEN
    assert asked == [None, None, False]
