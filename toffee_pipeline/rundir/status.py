"""Where a run stands, from its directory alone: whoever can read it can follow it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from toffee_pipeline.errors import MissingKey
from toffee_pipeline.rundir.counts import RunCounts
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.layout import SUMMARY
from toffee_pipeline.rundir.lease import current_holder, last_start
from toffee_pipeline.rundir.manifests import READERS, Manifest, committed_shards, read_manifest
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.storage import Storage

WINDOW = 256
"""The pace is that of so many commits, the latest."""
BLOCK = 4096
MANY = 2000

Commit = tuple[datetime, int]
"""When a shard was committed, and its pairs."""


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    job: jobs/JOB.py makes it.
    row: what the run makes, in a word: pair, or subject of a bank. All that counts pairs below counts these.
    state: finished; running; stopped (shards are missing and nobody works on them); unfinished (all shards are
        committed, the report and summary.json are not written); without lease, running looks like stopped.
    holder: the driver that works here, in words.
    planned, left: pairs of the whole run, and those of shards that are not committed.
    totals: sums of the committed shards; its `planned` are their pairs.
    gpu_hours: in which the stages computed. What is rented is more: loading, waiting, work that was lost.
    cost, cost_per_accepted: in the currency of the price; None without a price, or without accepted pairs.
    pairs_per_s: pace of the latest commits, since the driver's last start; None before there are any.
    left_s: seconds to the end at that pace, counted from when a driver works on it.
    expected_end: ISO 8601, while it runs.
    """

    uri: str
    job: str
    row: str
    state: str
    holder: str | None
    planned: int
    left: int
    planned_shards: int
    totals: RunCounts
    gpu_hours: float
    cost: float | None
    cost_per_accepted: float | None
    pairs_per_s: float | None
    left_s: float | None
    expected_end: str | None

    def as_json(self) -> str:
        """One line."""
        return TypeAdapter(Status).dump_json(self).decode()


class Follower:
    """Reads a run again and again: each time one listing, and each manifest once.

    Args:
        price_per_gpu_hour: None: the run's own (its config).
        say: gets a line before something that takes long.

    Raises:
        NoRun, OtherVersion, DamagedFile: as `read_run`; the last two also of a manifest.
        OSError: the store failed.
    """

    def __init__(
        self, storage: Storage, price_per_gpu_hour: float | None = None, say: Callable[[str], None] | None = None
    ) -> None:
        self._storage, self._say = storage, say
        self._run = read_run(storage)
        if price_per_gpu_hour is None:
            price_per_gpu_hour = self._run.config.price_per_gpu_hour
        self._price = price_per_gpu_hour
        self._forget()

    def _forget(self) -> None:
        self._known: set[int] = set()
        self._totals = Totals()
        self._commits: list[Commit] = []

    def look(self) -> Status:
        """Where the run stands now. Raises as the constructor."""
        holder = current_holder(self._storage)  # before the listing: a driver commits first and leaves then
        finished = self._storage.exists(SUMMARY)
        listed = committed_shards(self._storage)
        if self._known - listed:  # a repair took shards back
            self._forget()
        self._read(sorted(listed - self._known))
        return self._status(holder, finished, last_start(self._storage), datetime.now(UTC))

    def _read(self, shards: Sequence[int]) -> None:
        if self._say and len(shards) > MANY:
            self._say(f"reading {len(shards)} manifests of {self._storage.uri}")
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(shards), BLOCK):
                for manifest in pool.map(self._manifest, shards[start : start + BLOCK]):
                    if manifest is not None:
                        self._add(manifest)

    def _manifest(self, shard: int) -> Manifest | None:
        try:
            return read_manifest(self._storage, shard)
        except MissingKey:  # a repair took it back since it was listed
            return None

    def _add(self, manifest: Manifest) -> None:
        self._known.add(manifest.shard)
        self._totals.add(manifest.counts)
        commit = (manifest.committed, manifest.counts.planned)
        (heapq.heappush if len(self._commits) < WINDOW else heapq.heappushpop)(self._commits, commit)

    def _status(self, holder: str | None, finished: bool, since: datetime | None, now: datetime) -> Status:
        planned, totals = self._run.num_rows, self._totals
        complete = totals.shards == self._run.num_shards
        state = (
            "finished" if finished and complete else "running" if holder else "unfinished" if complete else "stopped"
        )
        left = planned - totals.planned
        pairs_per_s = pace(self._commits, since, now if holder else None)
        left_s = 0.0 if left == 0 else left / pairs_per_s if pairs_per_s else None
        gpu_hours = totals.gpu_seconds / 3600
        cost = gpu_hours * self._price if self._price else None
        return Status(
            uri=self._storage.uri,
            job=self._run.job,
            row=self._run.table.row,
            state=state,
            holder=holder,
            planned=planned,
            left=left,
            planned_shards=self._run.num_shards,
            totals=totals.counts(),
            gpu_hours=gpu_hours,
            cost=cost,
            cost_per_accepted=cost / totals.accepted if cost is not None and totals.accepted else None,
            pairs_per_s=pairs_per_s,
            left_s=left_s,
            expected_end=end_after(now, left_s) if state == "running" else None,
        )


def end_after(now: datetime, left_s: float | None) -> str | None:
    """ISO 8601; None where that is not known or out of any calendar."""
    try:
        return None if left_s is None else (now + timedelta(seconds=left_s)).isoformat(timespec="seconds")
    except OverflowError:
        return None


def pace(commits: Iterable[Commit], since: datetime | None, now: datetime | None) -> float | None:
    """Pairs per second of the latest `WINDOW` commits.

    Args:
        since: the driver's last start: what lies before, a pause among it, tells nothing about the pace now. None: not
            known.
        now: None for a run that nobody works on; then its pace is that until its last commit.

    Returns:
        None where that is not known yet.
    """
    latest = sorted(commits)[-WINDOW:]
    recent = [commit for commit in latest if since is None or commit[0] >= since]
    if not recent:
        return None
    # where the start is not in sight, time runs from the first of the commits, whose own pairs came before
    start, counted = (recent[0][0], recent[1:]) if since is None or len(recent) == WINDOW else (since, recent)
    seconds = ((now or recent[-1][0]) - start).total_seconds()
    pairs = sum(num_pairs for _, num_pairs in counted)
    return pairs / seconds if seconds > 0 and pairs else None
