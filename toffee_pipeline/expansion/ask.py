"""What a language model is asked, and how often."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict

import numpy as np

from toffee_pipeline.config.base import Category
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.plan.catalog import Catalog
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.worded import fill

LEAST_YIELD = 0.1
"""Share of kept proposals that is reckoned with at least, or one bad answer would ask for thousands."""
SYSTEM = (
    "You write short English phrases for a dataset of pictures. "
    'You answer with one JSON object and nothing else: {"changes": ["...", "..."]}'
)
WANTED: dict[Category, str] = {
    "style": "kinds of picture, each with its article, such as techniques, media and art movements",
    "background": "places and surroundings, each with its preposition",
    "color": "colors, each in one to three words",
    "texture": "materials and surfaces",
    "addition": "visible things that can be added, each with its article where it needs one",
    "removal": "visible parts that can be taken away, each with its article where it needs one",
}
WHOM = {"live": "an animal or a person", "object": "an object"}


class Cell(NamedTuple):
    """What has a quota. applies_to: "live", "object" or the name of a class."""

    category: Category
    applies_to: str


class Message(TypedDict):
    """Of a chat, as OpenAI, vLLM and transformers take it."""

    role: Literal["system", "user"]
    content: str


class Ask(NamedTuple):
    """One question. name: unique in its expansion; shard: of its round; seed: of the model's sampling."""

    name: str
    shard: int
    cell: Cell
    messages: tuple[Message, ...]
    seed: int


def cells_of(config: ExpansionConfig) -> dict[Cell, int]:
    """The quota of each cell, in a fixed order."""
    natures = {
        Cell(category, nature): number
        for category, number in config.quotas.items()
        for nature in ("live", "object")
        if number
    }
    classes = {
        Cell(category, name): number
        for name, quotas in config.class_quotas.items()
        for category, number in quotas.items()
    }
    return natures | classes


def plan_round(
    config: ExpansionConfig,
    catalog: Catalog,
    examples: Mapping[Cell, Sequence[str]],
    lacking: Mapping[Cell, int],
    yields: Mapping[Cell, float],
    number: int,
) -> Iterator[Ask]:
    """The questions of round `number`: a pure function of its arguments.

    Args:
        examples: rows that are there, for each cell.
        lacking: what each cell still lacks.
        yields: the share of kept proposals, of the cells that were asked before.
    """
    count = 0
    for cell, lack in lacking.items():
        proposals = lack / max(yields.get(cell, 1.0), LEAST_YIELD)
        for _ in range(math.ceil(proposals / config.proposals_per_ask)):
            name = f"round-{number:03d}-ask-{count:08d}"
            seed = seed_for(f"{config.seed}/{name}", "expand")
            messages = messages_of(config, catalog, cell, examples.get(cell, ()), seed)
            yield Ask(name, count // config.asks_per_shard, cell, messages, seed)
            count += 1


def messages_of(
    config: ExpansionConfig, catalog: Catalog, cell: Cell, examples: Sequence[str], seed: int
) -> tuple[Message, ...]:
    """The chat of one question; which examples it shows, and in which order, follows from its seed."""
    rng = np.random.default_rng(seed)
    shown = [examples[index] for index in rng.permutation(len(examples))[: config.num_examples]]
    names = [entry.name for entry in catalog.classes if cell.applies_to in (entry.name, nature_of(entry.live))]
    name = names[int(rng.integers(len(names)))]
    sentence = fill(catalog.prompts[cell.category], {"class": name, "change": "..."})
    whom = WHOM.get(cell.applies_to, fill("a(n) {name}", {"name": name}))
    lines = [
        f"Write {config.proposals_per_ask} new {WANTED[cell.category]}, for {whom}.",
        f"Each completes the sentence: {sentence}",
        f"Each has at most {config.max_words} words, differs from the others and from the examples, can be seen in a "
        "picture, and names no brand and no real person.",
    ]
    if shown:
        lines.append(f"Examples: {json.dumps({'changes': shown}, ensure_ascii=False)}")
    return (
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "\n".join(lines)},
    )


def nature_of(live: bool) -> str:
    """What rows call classes that live, and those that do not."""
    return "live" if live else "object"
