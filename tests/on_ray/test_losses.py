"""Which errors mean that a process is gone, and when a run gives up on them."""

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    RayTaskError,
    WorkerCrashedError,
)

from toffee_pipeline.on_ray.losses import Losses, is_failed_start, is_lost_process


def raised(error):
    return RayTaskError("submit", "Traceback", error).as_instanceof_cause()


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        ActorUnavailableError("socket closed", None),
        NodeDiedError("spot"),
        ObjectLostError("00", None, ""),
        WorkerCrashedError(),
        raised(ActorDiedError()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_takes_a_process_is_planned_around(error):
    assert is_lost_process(error) and not is_failed_start(error)


@pytest.mark.parametrize("error", [raised(ValueError("shape")), raised(OSError("disk")), RuntimeError("counts")])
def test_what_code_raises_is_not(error):
    assert not is_lost_process(error) and not is_failed_start(error)


def test_what_an_actor_raises_at_its_start_it_would_raise_again():
    error = ActorDiedError(RayTaskError("__init__", "Traceback", ValueError("shape"), actor_id="00"))
    assert is_failed_start(error) and not is_lost_process(error)


def test_three_in_a_row_without_a_shard_are_too_many():
    losses = Losses()
    assert [losses.too_many(left) for left in (9, 9, 8, 7, 7, 7)] == [False, False, False, False, False, True]
