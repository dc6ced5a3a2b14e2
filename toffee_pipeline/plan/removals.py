"""Removal pairs that are addition pairs turned round: the target is then an untouched picture of the subject.

A removal needs an addition of the same subject, so the two are planned as a couple: as many couples as there should be
removals. A couple brings an addition along, and so the fewer are planned without a removal.
"""

from __future__ import annotations

import numpy as np


class Couples:
    """How many couples the subjects of a plan have.

    A subject with one edit pair has none; where there are such, the others have more.

    Args:
        share: of the edit pairs that are to be removals.
        pairs_per_subject: edit pairs, on the mean; a subject has as many whole ones, or one more.
    """

    def __init__(self, share: float, pairs_per_subject: float) -> None:
        fewest = int(pairs_per_subject)
        more = pairs_per_subject - fewest
        subjects = {fewest: 1 - more, fewest + 1: more}
        self._share = share
        self._not_alone = sum(num * part for num, part in subjects.items() if num > 1) / pairs_per_subject
        self.reached = sum(part * self._expected(num) for num, part in subjects.items()) / pairs_per_subject
        """The share that removals come to: less than asked where too few subjects have two edit pairs."""

    def _expected(self, num_pairs: int) -> float:
        if num_pairs < 2 or not self._not_alone:
            return 0.0
        return min(num_pairs // 2, self._share * num_pairs / self._not_alone)

    def draw(self, num_pairs: int, num_additions: int, rng: np.random.Generator) -> dict[int, int]:
        """The couples of a subject with so many edit pairs, and so many things that can be added to it: index of the
        removal -> index of its addition."""
        number = min(int(self._expected(num_pairs) + rng.random()), num_additions)
        chosen = rng.permutation(num_pairs)[: 2 * number].tolist()
        return dict(zip(chosen[::2], chosen[1::2], strict=True))
