"""What the driver publishes about the whole run: at its start, and as each shard is committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

from toffee_pipeline.metrics import MetricSink
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import DatasetRun
from toffee_pipeline.rundir.status import WINDOW, Commit, pace
from toffee_pipeline.rundir.totals import Totals


class RunMetrics:
    """What the driver publishes at its start and as each shard is committed.

    Args:
        price_per_gpu_hour: 0: no money is published.
    """

    def __init__(self, record: MetricSink, run: DatasetRun, price_per_gpu_hour: float) -> None:
        self._record, self._run, self._price = record, run, price_per_gpu_hour
        self._since = datetime.now(UTC)
        self._commits: deque[Commit] = deque(maxlen=WINDOW)

    def update(self, counts: ShardCounts, totals: Totals) -> None:
        """counts: of the shard; totals: of all that are committed, this one among them."""
        self._record("toffee_shards_committed", 1)
        self._record("toffee_written_bytes", counts.num_bytes)
        for outcome, reason, number in _outcomes(counts.accepted, counts.rejected, counts.failed):
            self._record("toffee_pairs", number, outcome=outcome, reason=reason)
        self._commits.append((datetime.now(UTC), counts.planned))
        self.show(totals)

    def show(self, totals: Totals) -> None:
        """Sets the gauges of the whole run."""
        for outcome, reason, number in _outcomes(totals.accepted, totals.rejected, totals.failed):
            self._record("toffee_run_pairs", number, outcome=outcome, reason=reason)
        gauges = {
            "planned_pairs": self._run.num_rows,
            "planned_shards": self._run.num_shards,
            "committed_shards": totals.shards,
            "gpu_seconds": totals.gpu_seconds,
        }
        if totals.accepted:
            gauges["gpu_seconds_per_accepted"] = totals.gpu_seconds / totals.accepted
        if self._price:
            gauges["cost"] = totals.gpu_seconds / 3600 * self._price
        if self._price and totals.accepted:
            gauges["cost_per_accepted"] = gauges["cost"] / totals.accepted
        now = datetime.now(UTC)
        if pairs_per_s := pace(self._commits, self._since, now):
            left = self._run.num_rows - totals.planned
            gauges["expected_end_seconds"] = now.timestamp() + left / pairs_per_s
        for name, value in gauges.items():
            self._record(f"toffee_run_{name}", value)


def _outcomes(accepted: int, rejected: Mapping[str, int], failed: int) -> list[tuple[str, str, int]]:
    """(outcome, reason, pairs); a reason is given for the rejected only."""
    return [("accepted", "", accepted), *(("rejected", why, n) for why, n in rejected.items()), ("failed", "", failed)]
