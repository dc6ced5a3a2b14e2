"""The examples that each of the three trainings makes of a record, and the columns of a row.

Apart from the tasks, since this knows no torch: the driver and the processes in which Ray reads load none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, TrainingConfig, ViewGeneratorTraining
from toffee_pipeline.errors import DataError
from toffee_pipeline.train.data.examples import Columns, Example, Examples
from toffee_pipeline.train.data.records import LazyArray, Record

SLOTS: dict[type[TrainingConfig], dict[str, str]] = {
    RefinerTraining: {"target": "both"},
    ViewGeneratorTraining: {"input": "both", "target": "latents"},
    ToffeeNetTraining: {"input": "both", "target": "both", "masked": "latents"},
}
"""Image slots of an example, and what is needed of each: "latents", "tokens" or "both"."""

NEEDED: dict[type[TrainingConfig], str] = {
    RefinerTraining: "an image that can be read",
    ViewGeneratorTraining: "an object with 2 views that can be read",
    ToffeeNetTraining: "a pair of a kind that the setting pairs takes, whose images can be read",
}
"""What a sample takes, in words."""


def examples_of(config: TrainingConfig) -> Examples:
    """How a training makes examples of a record, pickled without torch."""
    if isinstance(config, ToffeeNetTraining):
        return partial(toffeenet_examples, config)
    return refiner_examples if isinstance(config, RefinerTraining) else view_generator_examples


def columns_of(config: TrainingConfig, encoded: tuple[tuple[int, ...], tuple[int, ...]] | None) -> Columns:
    """Columns of a row.

    Args:
        encoded: shapes of latents and tokens where a cache gives these instead of pixels.
    """
    size = config.size_px
    columns: dict[str, tuple[tuple[int, ...], str]] = {}
    for slot, wanted in SLOTS[type(config)].items():
        if encoded is None:
            columns[slot] = ((size, size, 3), "uint8")
            continue
        latents, tokens = encoded
        if wanted in ("latents", "both"):
            columns[f"{slot}_latents"] = (latents, "float16")
        if wanted in ("tokens", "both"):
            columns[f"{slot}_tokens"] = (tokens, "float16")
    if isinstance(config, RefinerTraining):
        columns["target_side_px"] = ((), "int32")  # SDXL's UNet is told how large an image was
    if isinstance(config, ToffeeNetTraining):
        columns |= {"mask": ((size, size), "bool"), "depth": ((size, size), "float16")}
        columns |= dict.fromkeys(("text", "class_name", "kind"), ((), "str"))
    return columns


def refiner_examples(record: Record, rng: np.random.Generator) -> Iterator[Example]:
    """One of each image."""
    # of a dataset's pair the subject alone: the others were drawn by a Refiner
    names = [name for name in record.images if not record.kind or name == "subject"]
    return (Example({"target": name}) for name in names)


def view_generator_examples(record: Record, rng: np.random.Generator) -> Iterator[Example]:
    """One of each view, with another of the object's views, drawn at random, as its input."""
    names = list(record.images)
    for index, name in enumerate(names):
        if len(names) > 1:
            other = names[(index + int(rng.integers(1, len(names)))) % len(names)]
            yield Example({"input": other, "target": name})


def toffeenet_examples(config: ToffeeNetTraining, record: Record, rng: np.random.Generator) -> Iterator[Example]:
    """One of each pair of the kinds that `config.pairs` takes. Raises DataError for what is no pair."""
    if not record.kind:
        raise DataError(f"data.sources: {record.key} is a subject of a bank; ToffeeNet learns from pairs")
    rebuilt = rng.random() < config.reconstruction_probability  # drawn for all: the variants agree
    if config.pairs not in ("all", record.kind):
        return
    images = {"input": "target" if rebuilt else "input", "target": "target"}
    if "masked" in record.images:
        images["masked"] = "masked"
    arrays: dict[str, LazyArray] = {}
    if record.mask is not None:
        arrays["mask"] = record.mask
    if record.depth is not None:
        arrays["depth"] = record.depth
    strings = {"text": record.text, "class_name": record.class_name, "kind": record.kind}
    yield Example(images, arrays, strings)
