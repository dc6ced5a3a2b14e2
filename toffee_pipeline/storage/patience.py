"""A store that is away for a while costs that while, and not the job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_random_exponential

from toffee_pipeline.printable import printable

T = TypeVar("T")
OUTAGE_S = 180.0
"""A store may be away for so long: the restart of a server, a network that is mended."""
LONGEST_WAIT_S = 5.0
SAY_EVERY_S = 10.0
OnWait = Callable[[str, float], None]
"""Gets a line about a store that is away, and for how many seconds the request waits now; from any thread."""


_listener: OnWait | None = None


def tell_waits(listener: OnWait | None) -> None:
    """From now on `listener` hears of each wait of this process for a store that is away, whichever it is. None, as at
    first: a line about each store on stderr does, now and then."""
    global _listener
    _listener = listener


class Seldom:
    """Says such a line once in a while, however many requests wait."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._last = say, float("-inf")

    def __call__(self, line: str, wait_s: float = 0.0) -> None:
        if time.monotonic() - self._last >= SAY_EVERY_S:
            self._last = time.monotonic()
            self._say(line)


def _on_stderr(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


class Patience:
    """Repeats what a store could not do, with growing random waits; one for all requests of a process to one store.

    Args:
        name: of the store, for the lines about its absence.
        passes: whether what was raised may pass by itself.
        words: what was raised, in one line.
        outage_s: so long after its first failure a request gives up, however long it had run before. So does each one
            at once while the store has answered none for that long: to refuse one is an answer.
    """

    def __init__(
        self,
        name: str,
        passes: Callable[[BaseException], bool],
        words: Callable[[BaseException], str],
        outage_s: float,
    ) -> None:
        self._name, self._passes, self._words, self.outage_s = name, passes, words, outage_s
        self._seldom = Seldom(_on_stderr)
        self.num_repeats = 0
        self.answered = False
        """Whether the store has been there, be it to refuse."""
        self._away_since: float | None = None

    def __call__(self, request: Callable[[], T]) -> T:
        """What `request` returns, or raises at last."""
        first_failure: float | None = None

        def gives_up(_: RetryCallState) -> bool:
            nonlocal first_failure
            now = time.monotonic()
            first_failure = now if first_failure is None else first_failure
            return max(now - first_failure, self._away_s()) >= self.outage_s

        answer: T = Retrying(
            retry=retry_if_exception(self._is_away),
            wait=wait_random_exponential(0.5, max=LONGEST_WAIT_S),
            stop=gives_up,
            before_sleep=self._tell,
            reraise=True,
        )(request)
        self._is_there()
        return answer

    def _is_away(self, error: BaseException) -> bool:
        if not self._passes(error):
            self._is_there()
            return False
        self._away_since = self._away_since or time.monotonic()
        return True

    def _is_there(self) -> None:
        self.answered, self._away_since = True, None

    def _away_s(self) -> float:
        since = self._away_since  # another thread's request may go well meanwhile
        return time.monotonic() - since if since is not None else 0.0

    def _tell(self, state: RetryCallState) -> None:
        self.num_repeats += 1
        error = state.outcome.exception() if state.outcome else None
        assert error is not None and state.next_action is not None  # tenacity's, after a try that failed
        (_listener or self._seldom)(
            f"{self._name}: the store has been away for {self._away_s():.0f} s, and may be for {self.outage_s:.0f} s: "
            f"{self._words(error)}",
            state.next_action.sleep,
        )
