"""What a prompt says of a picture, and whether it is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.nano import world
from toffee_pipeline.plan.catalog import Catalog
from toffee_pipeline.recipe.pairs import COLUMN, FACTS, PICTURES

FACT_OF: dict[Category, tuple[str, tuple[str, ...]]] = {
    "style": ("style", world.STYLES),
    "background": ("background", world.BACKGROUNDS),
    "color": ("color", tuple(world.COLORS)),
    "texture": ("pattern", world.PATTERNS),
    "addition": ("addition", world.ADDITIONS),
}
"""The fact that each category but removal changes, and its values by their index."""
UNDONE = "undone addition"
CAPTION = "caption"
KINDS: tuple[str, ...] = (*CATEGORIES, UNDONE, CAPTION)
"""Kinds of prompts: a plan's, of each category and of removals that undo an addition; and whole captions."""
PHOTO = world.STYLES.index("photo")


@dataclass(frozen=True)
class Prompt:
    """The words; what they say, as names and values of `FACTS`; and the addition that they say is missing, or -1."""

    kind: str
    words: str
    says: Mapping[str, int]
    missing: int = -1

    def holds(self, facts: np.ndarray) -> np.ndarray:
        """int (..., 10), in the order of `FACTS`, to bool (...)."""
        holds = np.ones(facts.shape[:-1], bool)
        for name, value in self.says.items():
            holds &= facts[..., COLUMN[name]] == value
        return holds if self.missing < 0 else holds & (facts[..., COLUMN["addition"]] != self.missing)


def plan_prompt(catalog: Catalog, class_name: str, category: Category, change: str) -> Prompt:
    """As a plan words it. A removal takes away a part of the class, or an addition."""
    words = catalog.prompt(class_name, category, change)
    says = {"class": world.CLASS_NAMES.index(class_name), "style": PHOTO}
    if category != "removal":
        name, values = FACT_OF[category]
        return Prompt(category, words, says | {name: values.index(change)})
    if change in world.ADDITIONS:
        return Prompt(UNDONE, words, says, world.ADDITIONS.index(change))
    return Prompt(category, words, says | {"removed": 1})


def pair_prompts(facts: np.ndarray, catalog: Catalog, rng: np.random.Generator) -> list[tuple[Prompt, Prompt | None]]:
    """The prompt of each of a subject's pairs, and that of another change, which holds for none of its pictures.

    facts: int8 (11, 10), of its pictures in the order of `PICTURES`. There is no other removal.
    """
    name = world.CLASS_NAMES[facts[0, COLUMN["class"]]]
    found: list[tuple[Prompt, Prompt | None]] = []
    for category, (fact, values) in FACT_OF.items():
        column = facts[:, COLUMN[fact]]
        own = values[column[PICTURES.index(category)]]
        shown = {values[value] for value in column if value >= 0}
        others = [change for change in catalog.choices(name, category) if change not in shown]
        another = plan_prompt(catalog, name, category, str(rng.choice(others)))
        found.append((plan_prompt(catalog, name, category, own), another))
    added = world.ADDITIONS[facts[PICTURES.index("addition"), COLUMN["addition"]]]
    return found + [(plan_prompt(catalog, name, "removal", gone), None) for gone in (world.REMOVABLE[name], added)]


def caption(facts: np.ndarray, rng: np.random.Generator) -> Prompt:
    """A sentence that says almost all of a picture; facts: int8 (10,)."""
    told = dict(zip(FACTS, facts.tolist(), strict=True))
    class_name, colors = world.CLASS_NAMES[told["class"]], list(world.COLORS)
    noun, says = f"{colors[told['color']]} {class_name}", ["class", "style", "color"]
    if pattern := told["pattern"]:
        noun = f"{colors[told['color']]} and {colors[told['pattern_color']]} {world.PATTERNS[pattern]} {class_name}"
        says += ["pattern", "pattern_color"]
    words = [world.STYLE_PHRASES[world.STYLES[told["style"]]], world.with_article(noun)]
    if told["removed"]:
        words.append(f"without {world.REMOVABLE[class_name]}")
        says.append("removed")
    if told["addition"] >= 0:
        words.append(f"with {world.ADDITIONS[told['addition']]}")
        says.append("addition")
    if rng.random() < 0.8:
        words.append(world.BACKGROUNDS[told["background"]])
        says.append("background")
    return Prompt(CAPTION, " ".join(words), {name: told[name] for name in says})
