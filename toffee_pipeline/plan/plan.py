"""The plan: a pure function of the config. Shard k is computed from k alone; nothing is ever listed whole."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from toffee_pipeline.config.base import Category
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.catalog import Catalog, load_catalog, with_article
from toffee_pipeline.schema import Pair, Subject

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
PLAN_VERSION = 1


def seed_for(name: str, stage: str) -> int:
    """Seed of one sample in one stage: 63 bits of a hash, the same on any machine and in any order of work."""
    return int.from_bytes(hashlib.sha256(f"{name}/{stage}".encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class FolderImage:
    """One image of the user's folder: path relative to it, and the class words read off its parent's name."""

    path: str
    class_name: str


def class_words(folder: str) -> str:
    """ "colorful_sneaker" -> "colorful sneaker", "dog2" -> "dog"."""
    words = re.sub(r"[_\-\s]+", " ", re.sub(r"\d+$", "", folder)).strip()
    return words or "object"


def list_folder(root: Path) -> list[FolderImage]:
    """Images below `root`, sorted by path: one folder per subject, or images directly in it."""
    if not root.is_dir():
        raise PlanError(f"subjects.path: {root} is not a folder")
    paths = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES
    )
    if not paths:
        raise PlanError(f"subjects.path: no image ({', '.join(sorted(IMAGE_SUFFIXES))}) below {root}")
    return [FolderImage(path, class_words(Path(path).parent.name or root.name)) for path in paths]


def says(prompt: str, change: str) -> bool:
    """Whether the words of `change` stand in the prompt already."""
    return re.search(rf"\b{re.escape(change)}\b", prompt) is not None


class Plan:
    """Shards of subjects of pairs. `len(plan)` is the number of shards, `plan.shard(k)` computes one of them."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.catalog: Catalog = load_catalog(config.subjects.catalog)
        self._images: list[FolderImage] | None = None
        if config.subjects.source == "folder":
            assert config.subjects.path is not None  # the config's own validator
            self._images = list_folder(config.subjects.path)

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
        """Of everything that decides the plan's content, the catalogue's and folder's included."""
        content = {
            "version": PLAN_VERSION,
            "seed": self.config.seed,
            "subjects": self.config.subjects.model_dump(mode="json", exclude={"path"}),
            "pairs": self.config.pairs.model_dump(mode="json"),
            "subjects_per_shard": self.config.subjects_per_shard,
            "catalog": self.catalog.digest,
            "images": None if self._images is None else [image.path for image in self._images],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def shard(self, index: int) -> tuple[list[Subject], list[Pair]]:
        """The subjects of shard `index` and their pairs, both in order of their ids. Cost: O(shard)."""
        if not 0 <= index < len(self):
            raise IndexError(f"shard {index} of a plan of {len(self)}")
        size = self.config.subjects_per_shard
        numbers = range(index * size, min((index + 1) * size, self.num_subjects))
        subjects = [self._subject(number) for number in numbers]
        per_subject = self.config.pairs.per_subject
        pairs = [
            self._pair(number, subject)
            for subject_number, subject in zip(numbers, subjects, strict=True)
            for number in range(subject_number * per_subject, min((subject_number + 1) * per_subject, self.num_pairs))
        ]
        return subjects, pairs

    def _subject(self, number: int) -> Subject:
        subject_id = f"s{number:08d}"
        seed = seed_for(f"{self.config.seed}/{subject_id}", "subject")
        rng = np.random.default_rng(seed)
        if self._images is not None:
            image = self._images[number % len(self._images)]
            prompt = f"a photo of {with_article(image.class_name)}"
            return Subject(subject_id, image.class_name, prompt, seed, image.path)
        class_name = self.catalog.classes[int(rng.integers(len(self.catalog.classes)))].name
        return Subject(subject_id, class_name, self.catalog.subject_prompt(class_name, rng), seed)

    def _pair(self, number: int, subject: Subject) -> Pair:
        pair_id = f"p{number:09d}"
        rng = np.random.default_rng(seed_for(f"{self.config.seed}/{pair_id}", "plan"))
        # exact share over any stretch of the plan, and every subject gets a mix
        fraction = self.config.pairs.edit_fraction
        is_edit = int((number + 1) * fraction + 1e-9) > int(number * fraction + 1e-9)
        weights = self.config.pairs.edit_categories if is_edit else self.config.pairs.generation_categories
        possible: dict[Category, tuple[str, ...]] = {
            category: tuple(
                change
                for change in self.catalog.choices(subject.class_name, category)
                if not says(subject.prompt, change)  # a red teapot cannot be changed to red
            )
            for category, weight in weights.items()
            if weight > 0
        }
        categories = [category for category, changes in possible.items() if changes]
        if not categories:
            raise PlanError(f"no category of {sorted(weights)} has a change for the class {subject.class_name!r}")
        shares = np.array([weights[category] for category in categories])
        category = categories[int(rng.choice(len(categories), p=shares / shares.sum()))]
        change = possible[category][int(rng.integers(len(possible[category])))]
        return Pair(
            pair_id,
            subject.subject_id,
            "edit" if is_edit else "generation",
            category,
            change,
            self.catalog.prompt(subject.class_name, category, change),
            seed_for(f"{self.config.seed}/{pair_id}", "pair"),
        )
