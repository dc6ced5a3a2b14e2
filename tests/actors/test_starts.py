"""An actor that cannot start: the run ends where none could, and goes on where others can."""

import pytest

from actors.starts import LOAD_S, OTHERS_S, StartRecord, starting
from toffee_pipeline.errors import ConfigError

BROKEN = RuntimeError("CUDA error: uncorrectable ECC error encountered\nCompile with TORCH_USE_CUDA_DSA")


class Pool:
    """Actors of "Draft", as they tell a record, and its time."""

    def __init__(self, num_actors) -> None:
        self.num_actors, self.now = num_actors, 0.0
        self.record = StartRecord(lambda: self.now)

    def load(self, *actors) -> None:
        for actor in actors:
            self.record.loads("Draft", actor)

    def fail(self, *actors) -> None:
        self.load(*actors)
        for actor in actors:
            self.record.failed("Draft", actor, None)

    def start(self, actor) -> None:
        self.load(actor)
        self.record.started("Draft", actor)

    @property
    def machine_is_to_blame(self):
        return self.record.machine_is_to_blame("Draft", self.num_actors)


def start(record, told, num_actors, error=None):
    def call(method, *args):
        return getattr(record, method)(*args)

    with starting("Draft", num_actors, "a", call, told.append):
        if error:
            raise error


def test_where_another_has_started_the_machine_is_to_blame():
    pool = Pool(300)
    pool.start("a")
    pool.fail("b", "c", "d")
    assert pool.machine_is_to_blame is True
    assert pool.record.machine_is_to_blame("View", 300) is None


@pytest.mark.parametrize(("num_actors", "failures"), [(1, 1), (2, 2), (3, 3), (300, 3)])
def test_where_none_can_start_the_run_is(num_actors, failures):
    pool = Pool(num_actors)
    for actor in range(failures):
        assert pool.machine_is_to_blame is None
        pool.fail(str(actor))
    assert pool.machine_is_to_blame is False


def test_one_that_fails_twice_counts_once():
    pool = Pool(2)
    pool.fail("a")
    pool.fail("a")
    assert pool.machine_is_to_blame is None


def test_a_machine_with_eight_broken_gpus_waits_for_those_that_load():
    pool = Pool(300)
    pool.load("good")
    pool.fail(*"abcdefgh")
    pool.now = 3000.0
    assert pool.machine_is_to_blame is None
    pool.start("good")
    assert pool.machine_is_to_blame is True


def test_of_actors_for_which_there_are_no_nodes_yet_nothing_is_awaited_for_long():
    pool = Pool(300)
    pool.fail("a", "b")
    pool.now = OTHERS_S
    assert pool.machine_is_to_blame is None
    pool.now += 1
    assert pool.machine_is_to_blame is False


def test_of_one_that_hangs_nothing_is_awaited_even_where_ray_starts_it_again_and_again():
    pool = Pool(2)
    pool.load("hangs")
    pool.fail("fails")
    pool.now = LOAD_S
    assert pool.machine_is_to_blame is None
    pool.now += 1
    pool.load("hangs")
    assert pool.machine_is_to_blame is False


def test_held_are_those_on_a_machine_that_is_to_blame_while_nobody_loads():
    pool = Pool(300)
    pool.fail("a")
    assert pool.record.held() == 0  # the run may be to blame
    pool.start("b")
    assert pool.record.held() == 1
    pool.load("a")  # its next try
    assert pool.record.held() == 0
    pool.fail("a")
    pool.record.loads("View", "c")
    assert pool.record.held() == 0
    pool.record.begin_dataset(forget=False)
    assert pool.record.held() == 0


@pytest.mark.parametrize("forget", [False, True])
def test_after_a_stall_it_counts_no_longer_that_some_could_start(forget):
    pool = Pool(1)
    pool.start("a")
    pool.record.begin_dataset(forget)
    pool.fail("b")
    assert pool.machine_is_to_blame is not forget


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
    record, asked, others = StartRecord(), [], iter("bcd")

    def call(method, *args):
        if method == "machine_is_to_blame":
            asked.append(record.machine_is_to_blame(*args))
            record.failed("Draft", next(others), None)  # meanwhile two others fail as well
            return asked[-1]
        return getattr(record, method)(*args)

    with pytest.raises(RuntimeError, match="ECC"), starting("Draft", 8, "a", call, print, look_every_s=0.01):
        raise BROKEN
    assert asked == [None, None, False]
