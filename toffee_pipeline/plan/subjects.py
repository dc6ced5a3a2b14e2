"""Where the subjects of a plan come from, and the plan of a subject bank: subjects alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from toffee_pipeline.config.dataset import SubjectDatasetConfig
from toffee_pipeline.plan.catalog import PACKAGED, Catalog, load_catalog
from toffee_pipeline.plan.catalog_language import Foreign, english_only
from toffee_pipeline.plan.classes import ClassShares
from toffee_pipeline.plan.folder import FolderImage, list_folder
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.listed_images import ListedImages
from toffee_pipeline.plan.names import some
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.shards import PLAN_VERSION, ShardPlan
from toffee_pipeline.plan.worded import MEDIUM, PLAIN, fill
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject, subject_row


class SubjectSource(Protocol):
    """Subjects by number: a pure function of the config, and of what a source lists."""

    notes: tuple[str, ...]
    """Lines for the user about what is left out."""

    @property
    def digest(self) -> str | None:
        """Of what is listed; None where nothing is."""

    def subject(self, subject_id: str, number: int, seed: int) -> Subject: ...


class CatalogSubjects:
    """Classes and prompts of a catalogue: what is synthesised or rendered."""

    notes: tuple[str, ...] = ()
    digest: str | None = None

    def __init__(self, catalog: Catalog, shares: ClassShares) -> None:
        self._catalog, self.shares = catalog, shares

    def subject(self, subject_id: str, number: int, seed: int) -> Subject:
        rng = np.random.default_rng(seed)
        class_name = self.shares.draw(number, rng)
        return Subject(subject_id, class_name, self._catalog.subject_prompt(class_name, rng), seed)


class FolderSubjects(ListedImages):
    """The user's own images, in the order of their paths, again from the first after the last."""

    def __init__(self, images: Sequence[FolderImage], notes: tuple[str, ...] = ()) -> None:
        super().__init__(images)
        self.notes = notes

    def subject(self, subject_id: str, number: int, seed: int) -> Subject:
        image = self.images[number % len(self.images)]
        prompt = fill(PLAIN, {"medium": MEDIUM, "class": image.caption or image.class_name})
        return Subject(subject_id, image.class_name, prompt, seed, image.path)


def make_source(config: SubjectDatasetConfig, catalog: Catalog, num_subjects: int) -> SubjectSource:
    """The source that the config names, but for a bank, which lies in a run directory.

    Raises PlanError where a folder holds no image, and as `ClassShares`.
    """
    subjects = config.subjects
    if subjects.source == "folder":
        assert subjects.path is not None  # the config's own validator
        return FolderSubjects(*list_folder(Path(subjects.path), config.other_languages))
    names = [entry.name for entry in catalog.classes]
    return CatalogSubjects(catalog, ClassShares(names, subjects.class_weights, subjects.class_quotas, num_subjects))


def subject_id_of(number: int) -> str:
    """The id of the subject of this number."""
    return f"s{number:08d}"


def subject_number(subject_id: str) -> int:
    """The inverse of `subject_id_of`."""
    return int(subject_id.removeprefix("s"))


class SubjectPlan(ShardPlan):
    """Shards of subjects.

    Args:
        num_subjects: in all.
        source: where they come from, as an earlier start listed it; None: looked at now.
    """

    config: SubjectDatasetConfig
    source: SubjectSource

    def __init__(self, config: SubjectDatasetConfig, num_subjects: int, source: SubjectSource | None = None) -> None:
        super().__init__(config, num_subjects)
        self.catalog: Catalog = load_catalog(config.subjects.catalog)
        self._foreign = Foreign()
        self._catalog_notes: tuple[str, ...] = ()
        if config.subjects.catalog not in PACKAGED:
            self._read_language()
        self.source = source or make_source(config, self.catalog, num_subjects)

    def _read_language(self) -> None:
        english, self._foreign = english_only(self.catalog)
        refuse = self.config.other_languages == "refuse"
        self._catalog_notes = tuple(_notes(self._foreign, refuse))
        if refuse:
            self.catalog = english

    def refuses_subject(self, subject: Subject) -> bool:
        """Whether it is not to be made, since it is not told in English: by its class in a catalogue of one's own, by
        its prompt where a bank or a folder tells it."""
        if self.config.other_languages == "pass":
            return False
        if isinstance(self.source, CatalogSubjects):
            return subject.class_name in self._foreign.classes
        return not is_english(subject.prompt)

    def refuses_pair(self, pair: Pair) -> bool:
        """Whether it is not to be made, since a catalogue of one's own does not tell its category in English."""
        return self.config.other_languages == "refuse" and pair.category in self._foreign.categories

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.source.notes, *self._catalog_notes, *self.catalog.bank.notes)

    @property
    def num_rows(self) -> int:
        """Of the ledger: here subjects."""
        return self.num_subjects

    def num_rows_of(self, index: int) -> int:
        return len(self.numbers(index))

    def _content(self) -> dict[str, Any]:
        subjects = self.config.subjects.model_dump(mode="json", exclude={"path"}, exclude_defaults=True)
        return {
            "version": PLAN_VERSION,
            "seed": self.config.seed,
            "subjects": subjects,
            "subjects_per_shard": self.subjects_per_shard,
            "catalog": self.catalog.digest,
            "images": self.source.digest,
        } | ({} if self.config.other_languages == "refuse" else {"other_languages": self.config.other_languages})

    def shard(self, index: int) -> tuple[list[Subject], list[Pair]]:
        """The subjects of shard `index`, in order of their ids, and no pairs. Cost: O(shard)."""
        return [self.subject(number) for number in self.numbers(index)], []

    def pairs(self, number: int, subject: Subject) -> list[Pair]:
        """Those of subject `number`, in order of their ids; here none."""
        return []

    def rows(self, index: int) -> list[dict[str, Any]]:
        return [subject_row(subject) for subject in self.shard(index)[0]]

    def subject(self, number: int) -> Subject:
        """Of this number, computed from it alone."""
        subject_id = subject_id_of(number)
        return self.source.subject(subject_id, number, seed_for(f"{self.config.seed}/{subject_id}", "subject"))


def _notes(foreign: Foreign, refuse: bool) -> Iterator[str]:
    if foreign.phrases:
        left = "left out" if refuse else "kept"
        number = len(foreign.phrases)
        yield f"subjects.catalog: {number} phrases that are not English are {left}: {some(foreign.phrases)}"
    if foreign.classes or foreign.categories:
        untold = [*(f"class {name}" for name in sorted(foreign.classes)), *sorted(foreign.categories)]
        fate = "rejected" if refuse else "kept"
        yield f"subjects.catalog: not told in English, so what is of them is {fate}: {some(untold)}"
