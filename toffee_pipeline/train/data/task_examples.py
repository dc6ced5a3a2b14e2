"""The examples that each of the three trainings makes of a record.

Apart from the tasks, since this knows no torch: the processes in which Ray reads load none.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.errors import DataError
from toffee_pipeline.train.data.examples import Example
from toffee_pipeline.train.data.records import LazyArray, Record


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
