"""The rows of a run of any size, page by page: from a place on, no more is read than a page needs."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from toffee_pipeline.errors import MissingKey
from toffee_pipeline.report.shard_rows import Row, read_ledger, read_ledgers
from toffee_pipeline.report.wanted import Wanted
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.layout import LEDGER, SUMMARY
from toffee_pipeline.rundir.manifests import READERS, Manifest, committed_shards, read_manifest
from toffee_pipeline.rundir.pictures import ShardPictures
from toffee_pipeline.rundir.rows import ROWS_AT_ONCE, files_of
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

Place = tuple[int, int]
"""Of a row: its shard, and its number in the ledger of that."""
MAX_SHARDS = 1024
"""So many manifests are looked at for one page; a reader who wants something rare then asks to go on."""
MAX_OPEN = 8
REFRESH_S = 30.0


class OpenShard:
    """A shard some of whose rows are looked at. num_rows: of its ledger, as its manifest says."""

    def __init__(self, storage: Storage, manifest: Manifest, table: Table) -> None:
        self.manifest = manifest
        self.pictures = ShardPictures(storage, manifest, table)
        self.num_rows = sum(file.num_rows for file in files_of(manifest, LEDGER))
        self._read = lambda: read_ledger(storage, manifest, table)

    @cached_property
    def rows(self) -> list[Row]:
        return self._read()


@dataclass(frozen=True)
class Found:
    """A row, and where it is."""

    place: Place
    manifest: Manifest
    row: Row


@dataclass(frozen=True)
class Page:
    """rows: in the plan's order. rest: where to go on in the direction that was asked for; None at the run's end."""

    rows: list[Found]
    rest: Place | None


class Listing:
    """Safe to share between threads. Raises as `read_run`; its methods as `read_manifest`, and OSError."""

    def __init__(self, storage: Storage) -> None:
        self.storage, self.run = storage, read_run(storage)
        self.summary: Summary | None = None
        self._shards: Sequence[int] = ()
        self._due = 0.0
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._lock = threading.Lock()

    def shards(self) -> Sequence[int]:
        """Numbers of the shards: of a finished run all, of one that goes on those that were committed lately."""
        with self._lock:
            if self.summary is None and time.monotonic() >= self._due:
                if self.storage.exists(SUMMARY):
                    self.summary = read(self.storage, SUMMARY, Summary)
                    self._shards = range(self.run.num_shards)  # to list them would take longer than a page does
                else:
                    self._shards = sorted(committed_shards(self.storage))
                self._due = time.monotonic() + REFRESH_S
            return self._shards

    def shard(self, number: int) -> OpenShard:
        """Keeps the last few open, fewer where they have many rows. Raises MissingKey where it is not committed."""
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
        opened = OpenShard(self.storage, read_manifest(self.storage, number), self.run.table)
        with self._lock:
            opened = self._open.setdefault(number, opened)  # of two at a time, one is kept
            while len(self._open) > 1 and (len(self._open) > MAX_OPEN or self._num_rows() > ROWS_AT_ONCE):
                self._open.popitem(last=False)
            return opened

    def _num_rows(self) -> int:
        return sum(shard.num_rows for shard in self._open.values())

    def after(self, wanted: Wanted, place: Place, count: int) -> Page:
        """Up to `count` rows from a place on."""
        shards = self.shards()
        return self._page(wanted, shards[bisect_left(shards, place[0]) :], place, count, 1)

    def before(self, wanted: Wanted, place: Place, count: int) -> Page:
        """The last `count` rows before a place."""
        shards = self.shards()
        return self._page(wanted, shards[: bisect_right(shards, place[0])][::-1], place, count, -1)

    def _page(self, wanted: Wanted, shards: Sequence[int], place: Place, count: int, step: int) -> Page:
        found: list[Found] = []
        for manifest, rows in self._read(wanted, shards[:MAX_SHARDS]):
            fitting = [
                Found((manifest.shard, number), manifest, row) for number, row in enumerate(rows) if wanted.fits(row)
            ]
            found += [each for each in fitting[::step] if (each.place >= place if step > 0 else each.place < place)]
            if len(found) > count:  # one more tells that the run does not end here
                rest = found[count].place if step > 0 else found[count - 1].place
                return Page(found[:count][::step], rest)
        looked_at_all = len(shards) <= MAX_SHARDS
        return Page(found[::step], None if looked_at_all else (shards[MAX_SHARDS - (step < 0)], 0))

    def _read(self, wanted: Wanted, shards: Sequence[int]) -> Iterator[tuple[Manifest, list[Row]]]:
        """The shards that may have such rows, with their ledgers; the first alone, since it may be enough."""

        def one(number: int) -> Manifest | None:
            try:
                manifest = read_manifest(self.storage, number)
            except MissingKey:  # a repair took it back
                return None
            return manifest if wanted.may_fit(manifest.counts) else None

        def ledgers(manifests: Iterable[Manifest | None]) -> Iterator[tuple[Manifest, list[Row]]]:
            return read_ledgers(self.storage, filter(None, manifests), self.run.table)

        yield from ledgers(map(one, shards[:1]))
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(1, len(shards), READERS):
                yield from ledgers(pool.map(one, shards[start : start + READERS]))
