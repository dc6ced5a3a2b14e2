"""Pairs for a PyTorch DataLoader, streamed from a run or an export, on local disk or S3."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from toffee_pipeline.config.train import ExportSource, RunSource
from toffee_pipeline.errors import DataError
from toffee_pipeline.train.data.examples import Block, Example, Reader
from toffee_pipeline.train.data.records import Record
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.data.stream import Batches, Position, read_here, resume

Sample = dict[str, Any]
TEXTS = ("pair_id", "prompt", "kind", "class_name")
STATES = ("error", "too_small")
"""Columns of a block that say nothing of a usable row."""


class PairStream(IterableDataset[Sample]):
    """Samples of pairs: `input` and `target`, uint8 (s, s, 3); `mask`, bool (s, s), where it was edited, and all of a
    generation pair; `pair_id`, `prompt`, `kind`, `class_name`, str; `read` and `row`, its place in the order.

    The trainings of this project read by the same sources, order and places. An epoch visits every file once, in an
    order of its own that `seed` alone decides, and shuffles the samples of each read. The files are dealt in turn to
    all DataLoader workers of all ranks: the same number of them gives the same samples to each. To go on in the middle
    of an epoch, call `seen` with each batch, store `state_dict`, and `load_state_dict` before the next DataLoader:

        source = ExportSource(format="export", path="s3://bucket/export")
        stream = PairStream(source, size_px=512, num_workers=4)
        for batch in DataLoader(stream, batch_size=8, num_workers=4):
            ...
            stream.seen(batch)

    Args:
        source: as in `data.sources` of a training.
        size_px: side of the images, which are cut to a centred square.
        num_workers: of each rank's DataLoader, as it is told too.
        rank, num_ranks: of this process, where several train.
        num_epochs: after which the stream ends; None: never.
        files_per_read: files whose samples are shuffled together.
        max_broken_fraction: of the samples; broken ones are left out, and above this share DataError is raised.
    """

    def __init__(
        self,
        source: RunSource | ExportSource,
        size_px: int,
        *,
        num_workers: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
        seed: int = 0,
        num_epochs: int | None = None,
        files_per_read: int = 1,
        max_broken_fraction: float = 0.05,
    ) -> None:
        opened = make_source(source)
        self._reader = Reader(
            sources=(opened,),
            files=tuple((0, file) for file in opened.files()),
            files_per_read=files_per_read,
            examples=_examples,
            columns={
                **dict.fromkeys(("input", "target"), ((size_px, size_px, 3), "uint8")),
                "mask": ((size_px, size_px), "bool"),
                **dict.fromkeys(TEXTS, ((), "str")),
            },
            size_px=size_px,
            seed=seed,
            needed="a pair whose images can be read",
        )
        self._num_workers, self._rank, self._num_ranks = num_workers, rank, num_ranks
        self._end = None if num_epochs is None else num_epochs * self._reader.reads_per_epoch
        self._max_broken_fraction = max_broken_fraction
        self._positions: list[Position] = []

    @property
    def _num_streams(self) -> int:
        return self._num_ranks * max(self._num_workers, 1)

    def __iter__(self) -> Iterator[Sample]:
        """The samples of this worker, from where it stopped. Raises DataError, StorageError."""
        worker = get_worker_info()
        if (worker.num_workers if worker else 0) != self._num_workers:
            raise ValueError(f"num_workers={self._num_workers}: allowed is the DataLoader's own number")
        number = self._rank * max(self._num_workers, 1) + (worker.id if worker else 0)
        position = resume(self._positions, number, self._num_streams)
        batches = Batches(self._blocks, position, self._num_streams, 1, self._max_broken_fraction)
        while (block := _next(batches)) is not None:
            yield {name: column[0] for name, column in block.items() if name not in STATES}

    def _blocks(self, reads: Iterator[int], skip: int) -> Iterator[Block]:
        end = self._end
        return read_here(self._reader)(reads if end is None else takewhile(lambda read: read < end, reads), skip)

    def seen(self, batch: Any) -> None:
        """Notes that a batch was used; with several ranks each notes its own."""
        positions = self._positions or [Position(number, 0) for number in range(self._num_streams)]
        for read, row in zip(batch["read"], batch["row"], strict=True):
            positions[int(read) % self._num_streams] = Position(int(read), int(row) + 1)
        self._positions = positions

    def state_dict(self) -> dict[str, Any]:
        """Where each worker's next sample stands, as plain lists and numbers; of several ranks each has its own."""
        return {"num_ranks": self._num_ranks, "positions": [list(position) for position in self._positions]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. With another number of workers all begin at the first read that some had
        not finished, so that a few samples may come once more or once less; of several ranks the number stays."""
        positions = [Position(*position) for position in state["positions"]]
        if positions and len(positions) != self._num_streams:
            if state["num_ranks"] > 1:
                raise ValueError(
                    f"a state of {len(positions)} workers of {state['num_ranks']} ranks: allowed is as many"
                )
            positions = [resume(positions, number, self._num_streams) for number in range(self._num_streams)]
        self._positions = positions


def _examples(record: Record, rng: np.random.Generator) -> Iterator[Example]:
    if not record.kind:
        raise DataError(f"{record.key} is a subject of a bank; allowed are pairs")
    texts = {"pair_id": record.key, "prompt": record.text, "kind": record.kind, "class_name": record.class_name}
    yield Example({"input": "input", "target": "target"}, {"mask": record.mask or _everywhere}, texts)


def _everywhere() -> np.ndarray:
    """The mask of what is drawn as a whole; it is resized as any other."""
    return np.ones((1, 1), bool)


def _next(batches: Batches) -> Block | None:
    try:
        return batches.next()
    except StopIteration:  # the last epoch is over
        return None
