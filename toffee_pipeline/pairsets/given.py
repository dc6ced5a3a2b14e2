"""From a row of somebody's set to a pair, by the config's columns; and what a reader of a format is."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from toffee_pipeline.config.refine_pairs import GivenPairs, PairColumns
from toffee_pipeline.errors import DamagedFile, ImageError, PlanError
from toffee_pipeline.pairsets.stored_image import load_image
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.plan.refinement import GivenPair, ImagePair, LazyImages
from toffee_pipeline.storage import Storage

Count = Annotated[int, Field(ge=0, lt=2**63)]
KEYS = TypeAdapter(tuple[str, str])
"""The place of a pair whose images are files of their own."""
MAX_SHOWN = 100
T = TypeVar("T")
TEXTS = ("prompt", "input_prompt", "instruction", "class_name", "category")
"""Of `PairColumns`: those that hold no image."""


class Reader(Protocol):
    """One format."""

    def files(self, key: str) -> bool:
        """Whether a file of the set's folder belongs to the set; all of them are its identity."""

    def pairs(self) -> Iterator[GivenPair]:
        """What the set says of its pairs, in a stable order, one after the other; no image is read.

        A damaged row or file is a pair with a problem. Raises PlanError where this is no such set, OSError where the
        storage fails.
        """

    def images(self, places: Sequence[str]) -> list[LazyImages]:
        """Of the pairs at these places. May fetch them at once, or when called; OSError as above."""


def value_of(row: Mapping[str, Any], column: str) -> Any:
    """What stands under a dotted name; None where there is nothing."""
    found: Any = row
    for part in column.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def pair_of(
    source: GivenPairs, columns: PairColumns, row: Mapping[str, Any], name: str, place: Sequence[Any]
) -> GivenPair:
    """The pair of a row. name, place: as in `GivenPair`, the place not yet JSON."""
    try:
        texts = {key: _text(row, column) if (column := getattr(columns, key)) else "" for key in TEXTS}
        prompt = texts["prompt"] or texts["instruction"]
        if not prompt:
            asked = " nor ".join(filter(None, (columns.prompt, columns.instruction)))
            raise ValueError(f"neither {asked}" if " nor " in asked else f"no {asked}")
    except ValueError as error:
        return broken_pair(source, name, str(error), row)
    return GivenPair(
        name=one_line(name),
        place=json.dumps(place, ensure_ascii=False),
        prompt=prompt,
        input_prompt=texts["input_prompt"],
        instruction=texts["instruction"],
        class_name=texts["class_name"] or source.class_name,
        category=source.categories.get(texts["category"], source.category),
        source=_json(row),
    )


def broken_pair(source: GivenPairs, name: str, problem: str, row: Mapping[str, Any] | None = None) -> GivenPair:
    """One that cannot be read: it is planned all the same, and rejected with this problem."""
    return GivenPair(
        name=one_line(name),
        place="null",
        prompt="",
        input_prompt="",
        instruction="",
        class_name=source.class_name,
        category=source.category,
        source=_json(row or {}),
        problem=problem,
    )


def read_place(kind: TypeAdapter[T], place: str) -> T:
    """What `GivenPair.place` says. Raises DamagedFile where it is not of this kind: the list of a run may be
    anybody's."""
    try:
        return kind.validate_json(place, strict=True)
    except ValidationError as error:
        raise DamagedFile(f"the run's list of pairs: damaged: {place[:MAX_SHOWN]!r} is no place of a pair") from error


def images_of(columns: PairColumns, input: Callable[[], np.ndarray], edited: Callable[[], np.ndarray]) -> LazyImages:
    """Of a pair whose pictures are loaded so: uint8 (H, W, 3), or ImageError."""

    def load() -> ImagePair:
        return halves(input(), columns.padding_px) if columns.edited == columns.input else (input(), edited())

    return load


def images_of_files(columns: PairColumns, storage: Storage, places: Sequence[str]) -> list[LazyImages]:
    """As `Reader.images`, where a place is the keys of both images."""
    loads = ([partial(load_image, storage, key) for key in read_place(KEYS, place)] for place in places)
    return [images_of(columns, *load) for load in loads]


def check_columns(columns: PairColumns, there: Collection[str], where: str) -> None:
    """Raises PlanError for a column that is not there. where: in which file or files."""
    for setting in ("input", "edited", *TEXTS):
        column = getattr(columns, setting)
        if column is not None and root_of(column) not in there:
            raise PlanError(
                f"source.columns.{setting}: no column {column!r} in {where}; there are {', '.join(there)}; null is none"
            )


def root_of(column: str) -> str:
    """What stands before the first dot."""
    return column.split(".")[0]


def halves(image: np.ndarray, padding_px: int) -> ImagePair:
    """Left and right of a picture, without the border around each. Raises ImageError where that leaves nothing."""
    height, width = image.shape[0], image.shape[1] // 2
    if min(height, width) <= 2 * padding_px:
        raise ImageError(
            f"{image.shape[1]} x {height} px: not two pictures with {padding_px} px around each (columns.padding_px)"
        )
    inside = slice(padding_px, height - padding_px)
    left, right = (image[inside, start + padding_px : start + width - padding_px] for start in (0, width))
    return left, right


def no_images(message: str) -> LazyImages:
    """Of a pair whose images are not where they were listed."""

    def fail() -> ImagePair:
        raise ImageError(message)

    return fail


def _text(row: Mapping[str, Any], column: str) -> str:
    """Raises ValueError for what is no text."""
    value = value_of(row, column)
    if isinstance(value, list):
        value = next(iter(value), None)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{column} is no text, but of type {type(value).__name__}")
    value.encode()  # half of a surrogate pair, which JSON allows, can be written nowhere
    return " ".join(value.split())


def _json(row: Mapping[str, Any]) -> str:
    """Keys in the row's order; what JSON does not know, such as a time, as it is printed."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    return text.encode(errors="backslashreplace").decode()
