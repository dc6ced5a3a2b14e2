"""The plan: a pure function of the config. Shard k is computed from k alone; nothing is ever listed whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from toffee_pipeline.config.base import Category, EditRegion, Kind
from toffee_pipeline.config.dataset import SubjectDatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.prompt_bank import PromptBank
from toffee_pipeline.plan.removals import Couples
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.shards import subjects_per_shard
from toffee_pipeline.plan.subjects import SubjectPlan, SubjectSource
from toffee_pipeline.schema.pairs import REGIONS, Pair, planned_row
from toffee_pipeline.schema.subjects import Subject

Change = tuple[Category, str]
"""The category of a pair, and what changes."""
Changes = dict[Category, tuple[str, ...]]
"""The changes of each category, of which none is empty."""


def unsaid(prompt: str, changes: Iterable[str]) -> tuple[str, ...]:
    """The changes whose words do not stand in the prompt already: a red teapot cannot be changed to red."""
    return tuple(
        change
        for change in changes
        # a pattern for each of a bank's thousand changes costs much more than a look
        if change not in prompt or not re.search(rf"\b{re.escape(change)}\b", prompt)
    )


def pair_id_of(number: int) -> str:
    """The id of the pair of this number."""
    return f"p{number:09d}"


def _without(changes: Changes, taken: set[Change]) -> Changes:
    left = {name: tuple(word for word in words if (name, word) not in taken) for name, words in changes.items()}
    return {name: words for name, words in left.items() if words}


class Plan(SubjectPlan):
    """Shards of subjects of pairs.

    Args:
        source: as of `SubjectPlan`; a subject bank is always given.
        prompts: what lies under `pairs.prompt_bank`, which `rundir.prompt_bank` reads; given where that names one.
    """

    config: RunConfig

    def __init__(
        self, config: RunConfig, source: SubjectSource | None = None, prompts: PromptBank | None = None
    ) -> None:
        super().__init__(config, _num_subjects(config), source)
        if (prompts is None) != (config.pairs.prompt_bank is None):
            raise TypeError("a plan is given the bank that pairs.prompt_bank names, and no other one")
        if prompts is not None:
            self.catalog = replace(self.catalog, bank=prompts)

    @property
    def num_rows(self) -> int:
        """Of the ledger: here pairs."""
        return self.config.pairs.count

    def num_rows_of(self, index: int) -> int:
        size = self.subjects_per_shard * self.config.pairs.per_subject
        return min((index + 1) * size, self.num_rows) - index * size

    def _content(self) -> dict[str, Any]:
        pairs = self.config.pairs.model_dump(mode="json", exclude={"prompt_bank"}, exclude_defaults=True)
        bank = {} if self.config.pairs.prompt_bank is None else {"prompt_bank": self.catalog.bank.digest}
        return super()._content() | {"pairs": pairs} | bank

    def shard(self, index: int) -> tuple[list[Subject], list[Pair]]:
        """The subjects of shard `index` and their pairs, both in order of their ids. Cost: O(shard)."""
        subjects, _ = super().shard(index)
        numbers = self.numbers(index)
        pairs = [
            pair for number, subject in zip(numbers, subjects, strict=True) for pair in self.pairs(number, subject)
        ]
        return subjects, pairs

    def rows(self, index: int) -> list[dict[str, Any]]:
        subjects, pairs = self.shard(index)
        subject_of = {subject.subject_id: subject for subject in subjects}
        return [planned_row(pair, subject_of[pair.subject_id]) for pair in pairs]

    def pairs(self, number: int, subject: Subject) -> list[Pair]:
        per_subject = self.config.pairs.per_subject
        of_kind: dict[Kind, list[int]] = {}
        for each in range(number * per_subject, min((number + 1) * per_subject, self.num_rows)):
            of_kind.setdefault(self._kind(each), []).append(each)
        pairs = [pair for kind, chosen in of_kind.items() for pair in self._pairs_of(kind, chosen, subject)]
        return sorted(pairs, key=lambda pair: pair.pair_id)

    def _pairs_of(self, kind: Kind, numbers: list[int], subject: Subject) -> list[Pair]:
        """A subject's pairs of one kind. No two make the same change while there is another one."""
        possible, weights = self._possible(kind, subject), dict(self._weights(kind))
        names = [pair_id_of(number) for number in numbers]
        rngs = [np.random.default_rng(seed_for(f"{self.config.seed}/{name}", "plan")) for name in names]
        sources: dict[int, int] = {}  # of a removal its addition
        if self._reverses(kind) and "removal" in possible:
            possible["addition"] = possible["removal"]
            weights["addition"] = max(weights.get("addition", 0.0), weights["removal"])
            total = sum(weights[category] for category in possible)
            couples = Couples(weights["removal"] / total, self._edits_per_subject)
            seed = seed_for(f"{self.config.seed}/{subject.subject_id}", "couples")
            sources = couples.draw(len(names), len(possible["addition"]), np.random.default_rng(seed))
            weights["addition"] = max(0.0, weights["addition"] - couples.reached * total)  # those that stand alone
            del possible["removal"]
        changes: dict[int, Change] = {}
        for index in sorted(sources.values()):  # first, since they can be nothing else
            additions = _without({"addition": possible["addition"]}, set(changes.values()))
            changes[index] = self._draw(additions, weights, rngs[index])
        alone = [index for index in range(len(names)) if index not in changes and index not in sources]
        seen = set(changes.values())
        changes |= {index: self._draw(possible, weights, rngs[index]) for index in alone}
        taken = set(changes.values())  # every first draw is kept: drawing again changes no other pair
        for index in alone:
            change = changes[index]
            if change in seen and (free := _without(possible, taken)):
                same = {change[0]: free[change[0]]} if change[0] in free else free  # categories keep their shares
                changes[index] = self._draw(same, weights, rngs[index])
                taken.add(changes[index])
            seen.add(change)
        changes |= {index: ("removal", changes[source][1]) for index, source in sources.items()}
        return [
            self._pair(subject, kind, name, changes[index], names[sources[index]] if index in sources else None)
            for index, name in enumerate(names)
        ]

    def _pair(self, subject: Subject, kind: Kind, name: str, planned: Change, reversed_from: str | None) -> Pair:
        category, change = planned
        prompt = self.catalog.prompt(subject.class_name, category, change)
        full = self.config.pairs.draft_prompt == "full"
        return Pair(
            pair_id=name,
            subject_id=subject.subject_id,
            kind=kind,
            category=category,
            change=change,
            prompt=prompt,
            draft_prompt=self.catalog.draft_prompt(subject.class_name, subject.prompt, category, change)
            if full
            else prompt,
            instruction=self.catalog.instruction(subject.class_name, category, change),
            input_prompt=self._input_prompt(subject, kind, change, reversed_from),
            seed=seed_for(f"{self.config.seed}/{name}", "pair"),
            reversed_from=reversed_from,
            edit_region=self._edit_region(subject, kind, planned, reversed_from),
        )

    def _input_prompt(self, subject: Subject, kind: Kind, change: str, reversed_from: str | None) -> str:
        if kind == "generation":
            return self.catalog.view_prompt(subject.class_name, subject.prompt)
        if reversed_from is None:
            return subject.prompt
        return self.catalog.draft_prompt(subject.class_name, subject.prompt, "addition", change)

    def _edit_region(
        self, subject: Subject, kind: Kind, planned: Change, reversed_from: str | None
    ) -> EditRegion | None:
        """Where an addition was made, it is taken away again."""
        if kind == "generation":
            return None
        category, change = planned
        if reversed_from is None:
            return self.catalog.edit_region(subject.class_name, category, change)
        return self.catalog.edit_region(subject.class_name, "addition", change) or REGIONS["addition"]

    def _reverses(self, kind: Kind) -> bool:
        return kind == "edit" and self.config.pairs.removal == "reverse"

    @property
    def _edits_per_subject(self) -> float:
        return self.config.pairs.per_subject * self.config.pairs.edit_fraction

    def _kind(self, number: int) -> Kind:
        """Exact share over any stretch of the plan, and every subject gets a mix."""
        fraction = self.config.pairs.edit_fraction
        return "edit" if int((number + 1) * fraction + 1e-9) > int(number * fraction + 1e-9) else "generation"

    def _weights(self, kind: Kind) -> Mapping[Category, float]:
        return self.config.pairs.edit_categories if kind == "edit" else self.config.pairs.generation_categories

    def _possible(self, kind: Kind, subject: Subject) -> Changes:
        """The changes of each category that has one for this subject; what a reversed addition removes is what it
        adds."""
        weights = self._weights(kind)
        source: dict[Category, Category] = {"removal": "addition"} if self._reverses(kind) else {}
        possible = {
            category: unsaid(subject.prompt, self.catalog.choices(subject.class_name, source.get(category, category)))
            for category, weight in weights.items()
            if weight > 0
        }
        if not any(possible.values()):
            raise PlanError(f"no category of {sorted(weights)} has a change for the class {subject.class_name!r}")
        return {category: changes for category, changes in possible.items() if changes}

    def _draw(self, possible: Changes, weights: Mapping[Category, float], rng: np.random.Generator) -> Change:
        categories = list(possible)
        shares = np.array([weights[category] for category in categories], dtype=float)
        if not shares.any():  # nothing else is left than additions, of which couples have brought enough
            shares[:] = 1
        category = categories[int(rng.choice(len(categories), p=shares / shares.sum()))]
        return category, possible[category][int(rng.integers(len(possible[category])))]


def _num_subjects(config: RunConfig) -> int:
    return -(-config.pairs.count // config.pairs.per_subject)


def pair_number(pair_id: str, num_pairs: int) -> int:
    """Raises PlanError for an id that a plan of so many pairs does not have."""
    digits = pair_id.removeprefix("p")
    number = int(digits) if digits.isdecimal() else -1
    if pair_id != pair_id_of(number) or number >= num_pairs:
        raise PlanError(f"no pair {pair_id!r}: allowed are {pair_id_of(0)} to {pair_id_of(num_pairs - 1)}")
    return number


def shard_of_pair(config: RunConfig, pair_id: str) -> int:
    """The shard of a planned pair. Raises as `pair_number`."""
    subject = pair_number(pair_id, config.pairs.count) // config.pairs.per_subject
    return subject // subjects_per_shard(config, _num_subjects(config))


def make_plan(
    config: SubjectDatasetConfig, source: SubjectSource | None = None, prompts: PromptBank | None = None
) -> SubjectPlan:
    """The plan of pairs, or of a subject bank. source, prompts: as of `Plan`."""
    if isinstance(config, SubjectBankConfig):
        return SubjectPlan(config, config.count, source)
    assert isinstance(config, RunConfig)  # there is no third job that makes subjects
    return Plan(config, source, prompts)
