"""The plan of pairs that are given: what a set says of each, and the rows that these become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from toffee_pipeline.config.base import Category
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.plan import pair_id_of, pair_number
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.shards import PLAN_VERSION, ShardPlan
from toffee_pipeline.plan.subjects import subject_id_of
from toffee_pipeline.schema.pairs import Pair, planned_row
from toffee_pipeline.schema.subjects import Subject

ImagePair = tuple[np.ndarray, np.ndarray]
"""Input and edited image, uint8 (H, W, 3) each, of any sizes."""
LazyImages = Callable[[], ImagePair]
"""Raises ImageError, which names the pair, where one of them cannot be read."""


@dataclass(frozen=True)
class GivenPair:
    """What a set says of one of its pairs.

    name: where it lies, below the set's path. place: the same for the reader of its format, as JSON.
    prompt: of the edited image, or else the instruction. source: all that is known of it but its images, as JSON.
    problem: why it cannot be read.
    """

    name: str
    place: str
    prompt: str
    input_prompt: str
    instruction: str
    class_name: str
    category: Category
    source: str
    problem: str | None = None


@dataclass(frozen=True)
class PlannedPair:
    """A given pair and its rows. Its subject is its own input image."""

    given: GivenPair = field(repr=False)
    subject: Subject
    pair: Pair


class PairSet(Protocol):
    """The pairs of a set by number, as they were listed. num_other_languages: of those whose prompt is not English."""

    num_other_languages: int

    @property
    def digest(self) -> str:
        """Of all that is listed."""

    def __len__(self) -> int: ...

    def pairs(self, numbers: range) -> list[GivenPair]: ...


class RefinementPlan(ShardPlan):
    """Shards of given pairs, in the order of their set."""

    config: RefinementConfig

    def __init__(self, config: RefinementConfig, source: PairSet) -> None:
        self.source: PairSet = source
        super().__init__(config, min(len(source), config.max_pairs or len(source)))

    @property
    def num_rows(self) -> int:
        return self.num_subjects

    @property
    def notes(self) -> tuple[str, ...]:
        if not (number := self._num_other_languages()):
            return ()
        fate = "rejected" if self.config.other_languages == "refuse" else "kept"
        return (f"source.path: {number:,} of {self.num_rows:,} prompts are not English: their pairs are {fate}",)

    def _num_other_languages(self) -> int:
        """Of the pairs that are planned. Those of a whole set were counted when it was listed."""
        if self.num_rows == len(self.source):
            return self.source.num_other_languages
        given = (pair for index in range(len(self)) for pair in self.source.pairs(self.numbers(index)))
        return sum(pair.problem is None and not is_english(pair.prompt) for pair in given)

    def num_rows_of(self, index: int) -> int:
        return len(self.numbers(index))

    def shard_of_pair(self, pair_id: str) -> int:
        """Raises as `pair_number`."""
        return pair_number(pair_id, self.num_rows) // self.subjects_per_shard

    def _content(self) -> dict[str, Any]:
        return {
            "version": PLAN_VERSION,
            "seed": self.config.seed,
            "subjects_per_shard": self.subjects_per_shard,
            "pairs": self.source.digest,
            "num_pairs": self.num_rows,
        }

    def planned(self, index: int) -> list[PlannedPair]:
        """The pairs of shard `index`. Cost: O(shard)."""
        numbers = self.numbers(index)
        return [self._planned(*each) for each in zip(numbers, self.source.pairs(numbers), strict=True)]

    def rows(self, index: int) -> list[dict[str, Any]]:
        return [planned_row(each.pair, each.subject) for each in self.planned(index)]

    def _planned(self, number: int, given: GivenPair) -> PlannedPair:
        pair_id, subject_id = pair_id_of(number), subject_id_of(number)
        seed = seed_for(f"{self.config.seed}/{subject_id}", "subject")
        subject = Subject(subject_id, given.class_name, given.input_prompt, seed, given.name)
        pair = Pair(
            pair_id=pair_id,
            subject_id=subject_id,
            kind="generation",
            category=given.category,
            change=given.instruction or given.prompt,
            prompt=given.prompt,
            draft_prompt=given.prompt,
            seed=seed_for(f"{self.config.seed}/{pair_id}", "pair"),
            instruction=given.instruction,
            input_prompt=given.input_prompt,
            source=given.source,
        )
        return PlannedPair(given, subject, pair)
