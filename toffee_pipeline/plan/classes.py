"""Which class each subject of a catalogue is of: drawn by weights, but for quotas, which are exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from toffee_pipeline.errors import PlanError

GOLDEN = (math.sqrt(5) - 1) / 2


class ClassShares:
    """The class of a subject by its number, without looking at any other subject.

    Args:
        names: of the catalogue, in its order.
        weights: of a class among the subjects that no quota takes; of one that is not named 1.
        quotas: how many of the subjects are of a class, exactly. Such a class is drawn no further.
        num_subjects: of the plan.

    gap: a line about quotas for more subjects than there are, of which the last are not met; "" where all are.

    Raises PlanError for a class that the catalogue lacks, and where no class is left for the others.
    """

    def __init__(
        self, names: Sequence[str], weights: Mapping[str, float], quotas: Mapping[str, int], num_subjects: int
    ) -> None:
        for key, named in (("class_weights", weights), ("class_quotas", quotas)):
            for name in named:
                if name not in names:
                    near = get_close_matches(name, names, n=3)
                    hint = f"; near it are {', '.join(near)}" if near else ""
                    raise PlanError(f"subjects.{key}: the catalogue has no class {name!r}{hint}")
        if both := weights.keys() & quotas.keys():
            raise PlanError(f"subjects.class_quotas: {min(both)!r} has a weight too, which a quota leaves without use")
        asked = sum(quotas.values())
        self.gap = ""
        if asked > num_subjects:
            self.gap = f"subjects.class_quotas: they ask for {asked} subjects, the plan has {num_subjects}"
        self._drawn = tuple(name for name in names if name not in quotas)
        given = np.array([weights.get(name, 1.0) for name in self._drawn])
        total = given.sum()
        if asked < num_subjects and not total:
            raise PlanError(
                f"subjects.class_weights: no class is left for the {num_subjects - asked} subjects without a quota"
            )
        self._shares = given / total if total else given
        self._weighted = bool(weights)
        self._quotas = _met(quotas, num_subjects)
        self._num_subjects, self._step = num_subjects, _spread(num_subjects)

    def draw(self, number: int, rng: np.random.Generator) -> str:
        """The class of subject `number`; `rng` is the subject's own."""
        place = number * self._step % self._num_subjects  # each number has its own place, and any stretch is spread
        for name, quota in self._quotas.items():
            place -= quota
            if place < 0:
                return name
        drawn = rng.choice(len(self._drawn), p=self._shares) if self._weighted else rng.integers(len(self._drawn))
        return self._drawn[int(drawn)]

    def expected(self) -> dict[str, float]:
        """How many subjects of each class there will be; of a quota exactly."""
        rest = self._num_subjects - sum(self._quotas.values())
        return {name: rest * float(share) for name, share in zip(self._drawn, self._shares, strict=True)} | self._quotas


def _met(quotas: Mapping[str, int], num_subjects: int) -> dict[str, int]:
    """As much of each as there are subjects for, the first quota first."""
    met: dict[str, int] = {}
    for name, quota in quotas.items():
        met[name] = min(quota, num_subjects - sum(met.values()))
    return met


def _spread(count: int) -> int:
    """A step without a common divisor with `count`, near the golden ratio of it: its multiples fill 0 to count - 1,
    and those in a row lie far apart."""
    step = max(1, round(count * GOLDEN))
    while math.gcd(step, count) > 1:
        step += 1
    return step
