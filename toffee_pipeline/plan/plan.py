"""The plan: a pure function of the config. Shard k is computed from k alone; nothing is ever listed whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from toffee_pipeline.config.base import Category
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.catalog import Catalog, load_catalog
from toffee_pipeline.plan.folder import FolderImage, list_folder, to_lines
from toffee_pipeline.plan.removals import Change, turn_round
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.worded import MEDIUM, PLAIN, fill
from toffee_pipeline.schema import Kind, Pair, Subject

Changes = dict[Category, tuple[str, ...]]
"""The changes of each category, of which none is empty."""

PLAN_VERSION = 3


def says(prompt: str, change: str) -> bool:
    """Whether the words of `change` stand in the prompt already."""
    return change in prompt and re.search(rf"\b{re.escape(change)}\b", prompt) is not None  # a pattern costs more


def _without(changes: Changes, taken: set[Change]) -> Changes:
    left = {name: tuple(word for word in words if (name, word) not in taken) for name, words in changes.items()}
    return {name: words for name, words in left.items() if words}


class Plan:
    """Shards of subjects of pairs. `len(plan)` is the number of shards, `plan.shard(k)` computes one of them.

    Args:
        images: of subjects.source=folder, as an earlier start listed them; then the folder is not looked at.

    Attributes:
        images: of subjects.source=folder, else None.
        notes: lines for the user about what was left out of the folder.
    """

    def __init__(self, config: RunConfig, images: Sequence[FolderImage] | None = None) -> None:
        self.config = config
        self.catalog: Catalog = load_catalog(config.subjects.catalog)
        self.notes: tuple[str, ...] = ()
        if config.subjects.source == "folder" and images is None:
            assert config.subjects.path is not None  # the config's own validator
            images, self.notes = list_folder(config.subjects.path)
        self.images = images

    @property
    def num_pairs(self) -> int:
        return self.config.pairs.count

    @property
    def num_subjects(self) -> int:
        return -(-self.num_pairs // self.config.pairs.per_subject)

    def __len__(self) -> int:
        return -(-self.num_subjects // self.config.subjects_per_shard)

    def num_pairs_of(self, index: int) -> int:
        """Pairs of shard `index`."""
        size = self.config.subjects_per_shard * self.config.pairs.per_subject
        return min((index + 1) * size, self.num_pairs) - index * size

    @cached_property
    def hash(self) -> str:
        """Of everything that decides the plan's content, the catalogue's and folder's included. A setting at its
        default does not count, so that one which is added later changes no plan."""
        content = {
            "version": PLAN_VERSION,
            "seed": self.config.seed,
            "subjects": self.config.subjects.model_dump(mode="json", exclude={"path"}, exclude_defaults=True),
            "pairs": self.config.pairs.model_dump(mode="json", exclude_defaults=True),
            "subjects_per_shard": self.config.subjects_per_shard,
            "catalog": self.catalog.digest,
            "images": None if self.images is None else hashlib.sha256(to_lines(self.images)).hexdigest(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def shard(self, index: int) -> tuple[list[Subject], list[Pair]]:
        """The subjects of shard `index` and their pairs, both in order of their ids. Cost: O(shard)."""
        if not 0 <= index < len(self):
            raise IndexError(f"shard {index} of a plan of {len(self)}")
        size = self.config.subjects_per_shard
        numbers = range(index * size, min((index + 1) * size, self.num_subjects))
        subjects = [self._subject(number) for number in numbers]
        pairs = [
            pair for number, subject in zip(numbers, subjects, strict=True) for pair in self._pairs(number, subject)
        ]
        return subjects, pairs

    def _subject(self, number: int) -> Subject:
        subject_id = f"s{number:08d}"
        seed = seed_for(f"{self.config.seed}/{subject_id}", "subject")
        rng = np.random.default_rng(seed)
        if self.images is not None:
            image = self.images[number % len(self.images)]
            prompt = fill(PLAIN, {"medium": MEDIUM, "class": image.caption or image.class_name})
            return Subject(subject_id, image.class_name, prompt, seed, image.path)
        class_name = self.catalog.classes[int(rng.integers(len(self.catalog.classes)))].name
        return Subject(subject_id, class_name, self.catalog.subject_prompt(class_name, rng), seed)

    def _pairs(self, subject_number: int, subject: Subject) -> list[Pair]:
        per_subject = self.config.pairs.per_subject
        numbers = range(subject_number * per_subject, min((subject_number + 1) * per_subject, self.num_pairs))
        of_kind: dict[Kind, list[int]] = {}
        for number in numbers:
            of_kind.setdefault(self._kind(number), []).append(number)
        pairs = [pair for kind, chosen in of_kind.items() for pair in self._pairs_of(kind, chosen, subject)]
        return sorted(pairs, key=lambda pair: pair.pair_id)

    def _pairs_of(self, kind: Kind, numbers: list[int], subject: Subject) -> list[Pair]:
        """A subject's pairs of one kind. No two make the same change while there is another one."""
        possible = self._possible(kind, subject)
        names = [f"p{number:09d}" for number in numbers]
        rngs = [np.random.default_rng(seed_for(f"{self.config.seed}/{name}", "plan")) for name in names]
        changes = [self._draw(kind, possible, rng) for rng in rngs]
        taken, seen = set(changes), set()  # every first draw is kept, so that drawing again changes no other pair
        for index, change in enumerate(changes):
            if change in seen and (free := _without(possible, taken)):
                same = {change[0]: free[change[0]]} if change[0] in free else free  # categories keep their shares
                changes[index] = self._draw(kind, same, rngs[index])
                taken.add(changes[index])
            seen.add(change)
        sources: list[int | None] = [None] * len(changes)
        if self._reverses(kind):

            def draw_again(index: int, categories: Sequence[Category]) -> Change:
                allowed = {name: words for name, words in possible.items() if name in categories}
                return self._draw(kind, _without(allowed, set(changes)) or allowed, rngs[index])

            changes, sources = turn_round(changes, tuple(possible), draw_again)
        return [
            self._pair(subject, kind, name, change, None if source is None else names[source])
            for name, change, source in zip(names, changes, sources, strict=True)
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
            seed=seed_for(f"{self.config.seed}/{name}", "pair"),
            reversed_from=reversed_from,
        )

    def _reverses(self, kind: Kind) -> bool:
        return kind == "edit" and self.config.pairs.removal == "reverse"

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
            category: tuple(
                change
                for change in self.catalog.choices(subject.class_name, source.get(category, category))
                if not says(subject.prompt, change)  # a red teapot cannot be changed to red
            )
            for category, weight in weights.items()
            if weight > 0
        }
        if not any(possible.values()):
            raise PlanError(f"no category of {sorted(weights)} has a change for the class {subject.class_name!r}")
        return {category: changes for category, changes in possible.items() if changes}

    def _draw(self, kind: Kind, possible: Changes, rng: np.random.Generator) -> Change:
        categories = list(possible)
        shares = np.array([self._weights(kind)[category] for category in categories], dtype=float)
        category = categories[int(rng.choice(len(categories), p=shares / shares.sum()))]
        return category, possible[category][int(rng.integers(len(possible[category])))]
