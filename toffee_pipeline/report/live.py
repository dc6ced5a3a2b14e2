"""The report of a run that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from toffee_pipeline.report.page import write_report
from toffee_pipeline.rundir.description import ImageDatasetRun
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.storage import Storage

REST = 20
"""Building it may take one part of the driver's time in so many."""


class LiveReport:
    """Rebuilds the page from committed shards, at most every `every_s` seconds; 0: never.

    Its pictures come from a bounded sample of shards, read one at a time: memory does not grow with the run.

    Args:
        say: gets one line when the store fails; the page is then tried again later, and the run goes on.
    """

    def __init__(self, storage: Storage, run: ImageDatasetRun, every_s: float, say: Callable[[str], None]) -> None:
        self._storage, self._run, self._every_s, self._say = storage, run, every_s, say
        self._due = time.monotonic() + every_s

    def update(self, totals: Totals) -> None:
        """Call it after each shard with the sums over all that are committed, also by earlier starts."""
        began = time.monotonic()
        is_whole = totals.planned == self._run.num_rows  # at the end the job writes the full page
        if not self._every_s or began < self._due or is_whole:
            return
        try:
            write_report(self._storage, self._run, totals.counts(), max_failed=0)
        except OSError as error:
            self._say(f"the report is not rebuilt yet: {error}")
        ended = time.monotonic()
        self._due = ended + max(self._every_s, REST * (ended - began))
