"""The limit that stops a run which is going wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any

MIN_PAIRS = 50
SHOWN = 3
KEPT = 1000


class TooManyFailures(RuntimeError):
    """More pairs failed than the config allows; one line with the most frequent errors."""


class FailureLimit:
    """Counts pairs as shards are committed; those of earlier starts of the run do not count.

    max_failed_fraction: of 0..1; a rejected pair is no failure.
    """

    def __init__(self, max_failed_fraction: float) -> None:
        self._max = max_failed_fraction
        self._pairs = self._failed = 0
        self._errors: Counter[str] = Counter()

    def add(self, counts: dict[str, Any]) -> None:
        """Takes in a shard's counts. Raises TooManyFailures, at the earliest after `MIN_PAIRS` pairs."""
        self._pairs += counts["planned"]
        self._failed += counts["failed"]
        self._errors.update(counts["errors"])
        if len(self._errors) > 2 * KEPT:  # messages may name files: keep the frequent ones only
            self._errors = Counter(dict(self._errors.most_common(KEPT)))
        if self._pairs < MIN_PAIRS or self._failed <= self._max * self._pairs:
            return
        frequent = "; ".join(f"{number} x {error}" for error, number in self._errors.most_common(SHOWN))
        raise TooManyFailures(
            f"stopped: {self._failed} of {self._pairs} pairs failed, max_failed_fraction={self._max:g} allows fewer; "
            f"what is committed stays. Most frequent: {frequent}"
        )
