"""A worker's endless stream of batches, whose place can be written down and found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from toffee_pipeline.errors import DataError
from toffee_pipeline.train.data.examples import Block, Reader, concatenate, select

CERTAIN_AFTER = 100
"""Rows after which the share of broken ones is judged."""
MANY = 10_000
"""Rows of which one in a hundred must be large enough: else a step waits for hours, for what is decoded in vain."""
MAX_NAMED = 20
"""Broken samples that are kept by name."""


class Position(NamedTuple):
    """The next row of a worker: `row` of read number `read`."""

    read: Annotated[int, Field(ge=0, lt=2**53)]
    row: Annotated[int, Field(ge=0, lt=2**53)]


Blocks = Callable[[Iterator[int], int], Iterator[Block]]
"""(reads in their order, rows to skip in the first) to blocks in that order."""


def resume(positions: list[Position], rank: int, num_workers: int) -> Position:
    """Where a worker goes on.

    Reads are dealt in turn: worker r of n takes r, r + n, r + 2n... With as many workers as before each goes on at its
    own place. With another number all start at the first read that some worker had not finished, so that a few rows
    may be seen once more or once less.
    """
    if len(positions) == num_workers:
        return positions[rank]
    first = min((position.read for position in positions), default=0)
    return Position(first + (rank - first) % num_workers, 0)


class Batches:
    """Batches of usable rows.

    Attributes:
        position: of the row after the last one that was taken.
        seen, broken, too_small: rows so far; those that are too small do not count as seen.
        errors: of the first `MAX_NAMED` broken samples, each once.
    """

    def __init__(
        self, blocks: Blocks, position: Position, num_workers: int, batch_size: int, max_broken_fraction: float
    ) -> None:
        self.position, self.batch_size, self.max_broken_fraction = position, batch_size, max_broken_fraction
        self.seen = self.broken = self.too_small = 0
        self.errors: list[str] = []
        self._blocks = blocks(count(position.read, num_workers), position.row)
        self._rest: Block | None = None

    def next(self) -> Block:
        """The next `batch_size` usable rows. Raises DataError above the allowed share of broken rows, or where nearly
        all are too small."""
        parts: list[Block] = []
        missing = self.batch_size
        while missing:
            block = self._rest if self._rest is not None else next(self._blocks)
            usable = np.flatnonzero(block["error"] == "")[:missing]
            # with enough usable rows in the block the rest stays for the next batch, those of no use included
            taken = int(usable[-1]) + 1 if len(usable) == missing else len(block["error"])
            self._count(select(block, slice(taken)))
            parts.append(select(block, usable))
            missing -= len(usable)
            self._rest = select(block, slice(taken, None)) if taken < len(block["error"]) else None
        return concatenate(parts)

    def _count(self, block: Block) -> None:
        self.position = Position(int(block["read"][-1]), int(block["row"][-1]) + 1)
        self.too_small += int(block["too_small"].sum())
        judged = block["error"][~block["too_small"]]
        errors = judged[judged != ""]
        self.seen += len(judged)
        self.broken += len(errors)
        if self.too_small + self.seen >= MANY and self.seen < 0.01 * self.too_small:
            raise DataError(
                f"{self.too_small:,} of {self.too_small + self.seen:,} training samples are smaller than "
                "data.min_side_px: lower it, leave their source out, or load larger images (docs/training.md)"
            )
        self.errors = list(dict.fromkeys([*self.errors, *map(str, errors)]))[:MAX_NAMED]
        if self.seen >= CERTAIN_AFTER and self.broken > self.max_broken_fraction * self.seen:
            raise DataError(
                f"{self.broken} of {self.seen} training samples are broken, allowed is a share of "
                f"{self.max_broken_fraction:g} (data.max_broken_fraction); the first: {self.errors[0]}"
            )


def read_here(reader: Reader) -> Blocks:
    """Blocks read in this process, as Ray Data's tasks read them (see `launch`)."""

    def blocks(reads: Iterator[int], skip: int) -> Iterator[Block]:
        for read in reads:
            yield from reader.blocks(read, skip)
            skip = 0

    return blocks
