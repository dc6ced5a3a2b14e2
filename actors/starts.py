"""An actor that cannot start: whether its machine is to blame or the run, and what becomes of it.

A GPU that is broken or too small, or a disk that is full, must not end a run of hundreds; weights that are nowhere
must, as soon as nobody is loading any more. What others of the same pool could do tells the one from the other.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
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
OTHERS_S = 600.0
"""Where fewer have failed, so long others may still begin: more are planned than there may ever be nodes for."""


class StartRecord:
    """Of each pool, whether an actor has started, which are loading, and which could not start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: set[str] = set()
        self.begin_dataset(forget=False)

    def begin_dataset(self, forget: bool) -> None:
        """The actors of the last one are gone.

        forget: that some had started; it may be so no longer.
        """
        if forget:
            self._started.clear()
        self._loading: defaultdict[str, dict[str, float]] = defaultdict(dict)  # actors, and since when
        self._failed: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._error: Exception | None = None

    def loads(self, pool: str, actor: str) -> None:
        """It begins to. One that was ended as it loaded counts from its first time on."""
        self._failed[pool].pop(actor, None)
        self._loading[pool].setdefault(actor, self._clock())

    def started(self, pool: str, actor: str) -> None:
        self._loading[pool].pop(actor, None)
        self._started.add(pool)

    def failed(self, pool: str, actor: str, error: Exception | None) -> None:
        """error: one that the user can mend."""
        self._loading[pool].pop(actor, None)
        self._failed[pool][actor] = self._clock()
        self._error = error

    def error(self) -> Exception | None:
        """Of the last actor that could not start."""
        return self._error

    def machine_is_to_blame(self, pool: str, num_actors: int) -> bool | None:
        """For an actor of a pool of so many that cannot start. None: it is not known yet."""
        if pool in self._started:
            return True
        if self._is_loading(pool):
            return None
        failed = self._failed[pool].values()
        waited_s = self._clock() - min(failed, default=self._clock())
        return False if len(failed) >= min(num_actors, ENOUGH) or waited_s > OTHERS_S else None

    def held(self) -> int:
        """Actors that wait on a machine that is to blame; 0 while any is loading, since that may go on for long."""
        if any(self._is_loading(pool) for pool in self._loading):
            return 0
        return sum(len(self._failed[pool]) for pool in self._started)

    def _is_loading(self, pool: str) -> bool:
        """Whether any is that does not hang."""
        return any(self._clock() - since <= LOAD_S for since in self._loading[pool].values())


@contextmanager
def starting(
    pool: str,
    num_actors: int,
    actor: str,
    call: Callable[..., Any],
    tell: Callable[[str], object],
    look_every_s: float = 2.0,
) -> Iterator[None]:
    """Meanwhile an actor starts; one that hangs is ended.

    What it raises is raised where the run is to blame. Else the process keeps its CPUs and its GPU to itself, so that
    no other actor is given them, and ends later, whereupon Ray starts it anew.

    Args:
        actor: its id, the same after Ray has started it anew.
        call: runs a method of the `StartRecord` and waits for its answer.
        tell: brings a line to the user.
    """
    call("loads", pool, actor)
    try:
        with ended_after(LOAD_S):
            yield
    except Exception as error:
        call("failed", pool, actor, error if isinstance(error, ToffeeError | OSError) else None)
        tell(f"cannot start: {in_a_line(error)}")
        while (to_blame := call("machine_is_to_blame", pool, num_actors)) is None:
            time.sleep(look_every_s)
        if not to_blame:
            raise
        time.sleep(RETRY_S)
        os._exit(1)
    call("started", pool, actor)


def in_a_line(error: BaseException) -> str:
    text = printable(str(error).partition("\n")[0])
    return text if isinstance(error, ToffeeError) else f"{type(error).__name__}: {text}"
