"""The limit that stops a run which is going wrong."""

from __future__ import annotations

from math import lgamma, log, log1p

from toffee_pipeline.errors import TooManyFailures
from toffee_pipeline.filters import REASONS
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.frequent_errors import FrequentErrors

MIN_PAIRS = 50
MIN_EVIDENCE = 1000.0
"""Of a thousand runs whose true share is within the limit at most one is stopped, however often it is looked."""
SHOWN = 3


class FailureLimit:
    """Counts pairs as shards are committed; those of earlier starts of the run do not count.

    max_failed_fraction: of 0..1; a rejected pair is no failure, unless it speaks of a broken network. row: what is
        counted, in a word: pair, or subject of a bank. rows_per_subject: so many may fail by one cause, and count as
        one observation.
    """

    def __init__(self, max_failed_fraction: float, row: str = "pair", rows_per_subject: float = 1.0) -> None:
        self._max, self._row, self._rows_per_subject = max_failed_fraction, row, rows_per_subject
        self._pairs = self._failed = 0
        self._errors = FrequentErrors()

    def add(self, counts: ShardCounts) -> None:
        """Takes in a shard's counts. Raises TooManyFailures, at the earliest after `MIN_PAIRS` pairs, where it is plain
        that the run's share is above the limit, and not by chance that of its first pairs; so it is where all fail."""
        self._pairs += counts.planned
        broken = {reason: number for reason, number in counts.rejected.items() if REASONS[reason].broken}
        self._failed += counts.failed + sum(broken.values())
        self._errors.add({**counts.errors, **broken})
        if self._is_above() and self._is_plain():
            raise self._error()

    def end(self) -> None:
        """After the last shard: the share is what it is. Raises TooManyFailures where it is above the limit, of at
        least `MIN_PAIRS` pairs."""
        if self._is_above():
            raise self._error()

    def _is_above(self) -> bool:
        return self._pairs >= MIN_PAIRS and self._failed > self._max * self._pairs

    def _is_plain(self) -> bool:
        if self._max == 0 or self._failed == self._pairs:
            return True
        subjects, failed = self._pairs / self._rows_per_subject, self._failed / self._rows_per_subject
        return log_evidence(failed, subjects, self._max) >= log(MIN_EVIDENCE)

    def _error(self) -> TooManyFailures:
        frequent = "; ".join(f"{number} x {error}" for error, number in self._errors.most(SHOWN).items())
        return TooManyFailures(
            f"stopped: {self._failed} of {self._pairs} {self._row}s failed, "
            f"max_failed_fraction={self._max:g} allows fewer; what is committed stays. Most frequent: {frequent}"
        )


def log_evidence(failed: float, number: float, limit: float) -> float:
    """Logarithm of how much likelier `failed` of `number` independent trials are under some share of 0..1, all taken to
    be as likely, than under `limit`, which lies between these.

    Under the limit this ratio exceeds c at any time with a probability of at most 1/c (Ville's inequality; Robbins
    1970), so that it may be looked at after each trial.
    """
    mixture = lgamma(failed + 1) + lgamma(number - failed + 1) - lgamma(number + 2)
    return mixture - failed * log(limit) - (number - failed) * log1p(-limit)
