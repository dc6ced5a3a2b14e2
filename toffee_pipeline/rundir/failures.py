"""The limit that stops a run which is going wrong."""

from __future__ import annotations

from toffee_pipeline.errors import TooManyFailures
from toffee_pipeline.filters import REASONS
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.frequent_errors import FrequentErrors

MIN_PAIRS = 50
SHOWN = 3


class FailureLimit:
    """Counts pairs as shards are committed; those of earlier starts of the run do not count.

    max_failed_fraction: of 0..1; a rejected pair is no failure, unless it speaks of a broken network. row: what is
        counted, in a word: pair, or subject of a bank.
    """

    def __init__(self, max_failed_fraction: float, row: str = "pair") -> None:
        self._max, self._row = max_failed_fraction, row
        self._pairs = self._failed = 0
        self._errors = FrequentErrors()

    def add(self, counts: ShardCounts) -> None:
        """Takes in a shard's counts. Raises TooManyFailures, at the earliest after `MIN_PAIRS` pairs."""
        self._pairs += counts.planned
        broken = {reason: number for reason, number in counts.rejected.items() if REASONS[reason].broken}
        self._failed += counts.failed + sum(broken.values())
        self._errors.add({**counts.errors, **broken})
        if self._pairs < MIN_PAIRS or self._failed <= self._max * self._pairs:
            return
        frequent = "; ".join(f"{number} x {error}" for error, number in self._errors.most(SHOWN).items())
        raise TooManyFailures(
            f"stopped: {self._failed} of {self._pairs} {self._row}s failed, "
            f"max_failed_fraction={self._max:g} allows fewer; what is committed stays. Most frequent: {frequent}"
        )
