"""From records to training examples: rows of equal shape, in a seeded order, broken ones marked instead of dropped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

import numpy as np
from PIL import Image

from toffee_pipeline.errors import BrokenFile, DataError, ImageError, TooSmall
from toffee_pipeline.images import central_square, fit_square
from toffee_pipeline.train.data.records import Encoded, LazyArray, Record, Source

ROWS_PER_BLOCK = 16
MAX_TRIED = 10_000
"""Rows in which `first_rows` looks for usable ones: all of a large set can be too small."""
Columns = Mapping[str, tuple[tuple[int, ...], str]]
"""Name to shape and dtype of one row; strings have shape () and dtype "str"."""
Block = dict[str, np.ndarray]
"""Columns of some rows, with `read` and `row` (where they stand in the order), `error` ("" where usable) and
`too_small` (whether that is why there is an error)."""


@dataclass(frozen=True)
class Example:
    """What one training sample shows, still by name.

    images: slot to the name of an image of its record. arrays: slot to what decodes to (H, W) or (H, W, c).
    """

    images: Mapping[str, str]
    arrays: Mapping[str, LazyArray] = field(default_factory=dict)
    strings: Mapping[str, str] = field(default_factory=dict)


class Examples(Protocol):
    """A task's way to make examples of a record."""

    def __call__(self, record: Record, rng: np.random.Generator) -> Iterator[Example]: ...


@dataclass(frozen=True)
class Reader:
    """Reads rows by number. Picklable: Ray ships it to its tasks.

    Args:
        sources: by index.
        files: (index of the source, file) of all sources, in their stable order.
        files_per_read: how many of them are shuffled together.
        examples: of the task.
        columns: of the rows.
        size_px: side of images and arrays in a row.
        seed: of every order and choice.
        needed: what a sample takes, in words, for the error where there is none.
        min_side_px: of the central square of an image.
    """

    sources: tuple[Source, ...]
    files: tuple[tuple[int, str], ...]
    files_per_read: int
    examples: Examples
    columns: Columns
    size_px: int
    seed: int
    needed: str
    min_side_px: int = 0

    @property
    def reads_per_epoch(self) -> int:
        return -(-len(self.files) // self.files_per_read)

    @property
    def row_bytes(self) -> int:
        """Size of a row's arrays."""
        arrays = (column for column in self.columns.values() if column[1] != "str")
        return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in arrays)

    def files_of(self, read: int) -> list[tuple[int, str]]:
        """The files of a read; each epoch of `reads_per_epoch` reads visits every file once, in an order of its own."""
        epoch, index = divmod(read, self.reads_per_epoch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.files))
        return [self.files[i] for i in order[index * self.files_per_read : (index + 1) * self.files_per_read]]

    def blocks(self, read: int, skip: int = 0) -> Iterator[Block]:
        """The rows of one read from row `skip` on, some at a time.

        Raises StorageError where a file cannot be fetched.
        """
        rng = np.random.default_rng([self.seed, 2, read])
        todo: list[tuple[Record, Example] | str] = []
        for source, file in self.files_of(read):
            try:
                for record in self.sources[source].read(file):
                    todo.extend((record, example) for example in self.examples(record, rng))
            except BrokenFile as error:
                todo.append(str(error))
        order = rng.permutation(len(todo))
        for start in range(skip, len(order), ROWS_PER_BLOCK):
            rows = range(start, min(start + ROWS_PER_BLOCK, len(order)))
            made = [self._row(todo[order[row]]) for row in rows]
            block = {
                name: np.stack([np.asarray(row[name], dtype) for row in made])
                if dtype != "str"
                else np.array([row[name] for row in made], object)
                for name, (_, dtype) in {**self.columns, "error": ((), "str"), "too_small": ((), "bool")}.items()
            }
            yield block | {"read": np.full(len(made), read), "row": np.array(rows)}

    def _row(self, item: tuple[Record, Example] | str) -> dict[str, Any]:
        """All columns of one row; zeros and an `error` where it is not usable."""
        row: dict[str, Any] = {
            name: "" if dtype == "str" else np.zeros(shape, dtype) for name, (shape, dtype) in self.columns.items()
        }
        row["too_small"] = False
        if isinstance(item, str):
            return row | {"error": item}
        record, example = item
        try:
            return row | self._values(record, example) | {"error": ""}
        except ImageError as error:
            return row | {"error": str(error), "too_small": isinstance(error, TooSmall)}

    def _values(self, record: Record, example: Example) -> dict[str, Any]:
        values: dict[str, Any] = dict(example.strings)
        for slot, name in example.images.items():
            if name not in record.images:
                raise ImageError(f"{record.key}: no image {name!a}")
            image = record.images[name]()
            if isinstance(image, Encoded):
                values |= {f"{slot}_{part}": value for part, value in image._asdict().items()}
            else:
                values[f"{slot}_side_px"] = side_of(image, self.min_side_px, record.key)
                values[slot] = fit_square(image, self.size_px)
        for slot, decode in example.arrays.items():
            values[slot] = fit_array(decode(), self.size_px)
        return {name: value for name, value in values.items() if name in self.columns}


def side_of(image: np.ndarray, min_side_px: int, name: str) -> int:
    """Of the central square of an image (H, W, 3). Raises TooSmall, which names it, below `min_side_px`."""
    side_px = min(image.shape[:2])
    if side_px < min_side_px:
        raise TooSmall(f"{name}: its central square has {side_px} px, less than data.min_side_px={min_side_px}")
    return side_px


def fit_array(array: np.ndarray, size_px: int) -> np.ndarray:
    """The central square of bool or float32 (H, W), resized to (size_px, size_px): nearest for bool, else bilinear."""
    square = central_square(array)
    if len(square) == size_px:
        return square
    if array.dtype == np.bool_:
        return np.array(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.NEAREST))
    return np.array(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.BILINEAR))


def first_rows(reader: Reader, count: int) -> Block:
    """The first `count` usable rows of the order, fewer where there are fewer, or among the first `MAX_TRIED`.

    Raises DataError where there is none: what a sample takes, and the first error that was met.
    """
    found: list[Block] = []
    missing, tried, first_error = count, 0, ""
    for block in chain.from_iterable(map(reader.blocks, range(reader.reads_per_epoch))):
        tried += len(block["error"])
        first_error = first_error or next(filter(None, block["error"]), "")
        usable = np.flatnonzero(block["error"] == "")[:missing]
        if len(usable):
            found.append(select(block, usable))
            missing -= len(usable)
        if not missing or tried >= MAX_TRIED:
            break
    if not found:
        where = f"among the first {tried:,} of data.sources" if tried >= MAX_TRIED else "in data.sources"
        why = f"the first error: {first_error}" if first_error else "nothing was broken"
        raise DataError(f"no usable sample {where}; needed is {reader.needed}; {why}")
    return concatenate(found)


def select(block: Block, rows: Any) -> Block:
    """The rows of a block that an index or mask picks."""
    return {name: column[rows] for name, column in block.items()}


def concatenate(blocks: Sequence[Block]) -> Block:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
