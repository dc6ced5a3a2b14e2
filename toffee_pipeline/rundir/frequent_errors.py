"""Counts of error messages in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

KEPT = 1000


class FrequentErrors:
    """Messages may name files, so that there can be as many as pairs: only `KEPT` or a few more stay, the frequent."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()

    def add(self, errors: Mapping[str, int]) -> None:
        """Takes in message -> number of pairs."""
        self._numbers.update(errors)
        if len(self._numbers) > 2 * KEPT:
            self._numbers = Counter(dict(self._numbers.most_common(KEPT)))

    def most(self, number: int) -> dict[str, int]:
        """The `number` most frequent messages, the most frequent first."""
        return dict(self._numbers.most_common(number))
