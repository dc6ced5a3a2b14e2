"""A DreamBench of the small world, in its grammar. Needs no file: its subjects are rendered, and no network was trained
on one of them."""

from __future__ import annotations

from itertools import islice

import numpy as np

from toffee_pipeline.config.base import Category
from toffee_pipeline.plan.benchmark import Benchmark, BenchmarkSubject, Prompt, RealImage
from toffee_pipeline.plan.catalog import Catalog, load_catalog
from toffee_pipeline.plan.seeds import seed_for

NUM_SUBJECTS = 30
NUM_IMAGES = 5
"""Real pictures of each subject; DreamBench has 4 to 6."""
CHANGES: dict[Category, int] = {"background": 12, "style": 6, "addition": 4, "color": 2, "texture": 1}
"""Prompts of each category: 25 in all."""


def load_nano() -> Benchmark:
    """30 subjects of the 18 classes, 25 prompts each. Training subjects have small seeds, these hashed ones."""
    catalog = load_catalog("nano")
    return Benchmark("nano", tuple(_subject(catalog, number) for number in range(NUM_SUBJECTS)))


def _subject(catalog: Catalog, number: int) -> BenchmarkSubject:
    class_name = catalog.classes[number % len(catalog.classes)].name
    subject_id = f"{class_name.replace(' ', '_')}_{number:02d}"
    seed = seed_for(f"dreambench/{subject_id}", "subject")
    description = catalog.subject_prompt(class_name, np.random.default_rng(seed))
    return BenchmarkSubject(
        subject_id,
        class_name,
        "toy",
        tuple(RealImage(f"view {view}") for view in range(NUM_IMAGES)),
        tuple(_prompts(catalog, class_name, description, seed)),
        description,
        seed,
    )


def _prompts(catalog: Catalog, class_name: str, description: str, seed: int) -> list[Prompt]:
    """Of colours and textures, only what the subject does not show already."""
    rng = np.random.default_rng([seed, 25])
    prompts = []
    for category, count in CHANGES.items():
        changes = catalog.choices(class_name, category)
        if category in ("color", "texture"):
            changes = tuple(map(str, rng.permutation([word for word in changes if word not in description.split()])))
        prompts += [Prompt(catalog.prompt(class_name, category, change), category) for change in islice(changes, count)]
    return prompts
