"""What a source of training data gives: files, and the records in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

LazyArray = Callable[[], np.ndarray]
"""Raises ImageError, which names file and sample, where it is broken."""


class Encoded(NamedTuple):
    """An image as the frozen networks see it: latents (c, h, w) and DINO tokens (1 + n, c), float16.

    side_px: of its central square, before that was resized.
    """

    latents: np.ndarray
    tokens: np.ndarray
    side_px: int


LazyImage = Callable[[], "np.ndarray | Encoded"]
"""Decodes to uint8 (H, W, 3) of any size, or to what a cache holds of it; raises as `LazyArray`."""


@dataclass(frozen=True)
class Record:
    """One thing and its images: a captioned photo, an object from several views, or a pair of a dataset.

    Attributes:
        key: unique within its file.
        images: by name; decoded when called.
        text: the caption or prompt; "" where there is none.
        mask: decodes to bool (H, W), the editing mask; None where the whole image is to be drawn.
        depth: decodes to float32 (H, W) in 0..1, 1 = nearest.
        class_name: what Grounded-SAM looks for.
        kind: "edit" or "generation" for pairs, "" else.
    """

    key: str
    images: Mapping[str, LazyImage] = field(repr=False)
    text: str = ""
    mask: LazyArray | None = field(default=None, repr=False)
    depth: LazyArray | None = field(default=None, repr=False)
    class_name: str = ""
    kind: str = ""


class Source(Protocol):
    """One source of training data. Picklable; opens files only when asked."""

    def files(self) -> list[str]:
        """Names of its files in a stable order. Raises DataError (one clear line) where there is none."""

    def read(self, file: str) -> Iterator[Record]:
        """The records of one file, always in the same order.

        Raises BrokenFile where the rest cannot be parsed, StorageError where the storage fails.
        """
