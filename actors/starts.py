"""An actor that cannot start: whether its machine is to blame or the run, and what becomes of it.

A GPU that is broken or too small, or a disk that is full, must not end a run of hundreds; weights that are nowhere
must, and at once. What others of the same pool could do tells the one from the other.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actors.guard import ended_after
from toffee_pipeline.errors import ToffeeError
from toffee_pipeline.printable import printable

LOAD_S = 3600.0
"""What loading may take: the first actor of a machine may download all weights and compile."""
RETRY_S = 600.0
"""Between two tries on a machine that is to blame: a mount may come back, and a GPU may be reset."""
ENOUGH = 3
"""So many actors that cannot start while none can mean that none will."""


class StartRecord:
    """Of each pool, whether an actor has started, and how many could not before."""

    def __init__(self) -> None:
        self._started: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._error: Exception | None = None

    def started(self, pool: str) -> None:
        self._started.add(pool)

    def failed(self, pool: str, error: Exception | None) -> None:
        """error: one that the user can mend."""
        self._failed[pool] += 1
        self._error = error

    def error(self) -> Exception | None:
        """Of the last actor that could not start."""
        return self._error

    def machine_is_to_blame(self, pool: str, num_actors: int) -> bool | None:
        """For an actor of a pool of so many that cannot start. None: it is not known yet."""
        if pool in self._started:
            return True
        return False if self._failed[pool] >= min(num_actors, ENOUGH) else None


@contextmanager
def starting(
    pool: str, num_actors: int, call: Callable[..., Any], tell: Callable[[str], object], look_every_s: float = 2.0
) -> Iterator[None]:
    """Meanwhile an actor starts; one that hangs is ended.

    What it raises is raised where the run is to blame. Else the process keeps its CPUs and its GPU to itself, so that
    no other actor is given them, and ends later, whereupon Ray starts it anew.

    Args:
        call: runs a method of the `StartRecord` and waits for its answer.
        tell: brings a line to the user.
    """
    try:
        with ended_after(LOAD_S):
            yield
    except Exception as error:
        call("failed", pool, error if isinstance(error, ToffeeError | OSError) else None)
        tell(f"cannot start: {in_a_line(error)}")
        while (to_blame := call("machine_is_to_blame", pool, num_actors)) is None:
            time.sleep(look_every_s)
        if not to_blame:
            raise
        time.sleep(RETRY_S)
        os._exit(1)
    call("started", pool)


def in_a_line(error: BaseException) -> str:
    text = printable(str(error).partition("\n")[0])
    return text if isinstance(error, ToffeeError) else f"{type(error).__name__}: {text}"
