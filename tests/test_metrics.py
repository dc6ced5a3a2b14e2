"""What the driver publishes about a run, and that names and units are what they say."""

from datetime import UTC, datetime

import pytest

from toffee_pipeline.metrics import METRICS
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.publish import RunMetrics
from toffee_pipeline.rundir.totals import Totals


class Recorded:
    """A record that keeps what it gets: counters summed, gauges as they stand."""

    def __init__(self):
        self.values = {}

    def __call__(self, name, value, **tags):
        metric = METRICS[name]
        assert set(tags) == set(metric.tags)
        key = (name.removeprefix("toffee_"), *(tags[tag] for tag in metric.tags))
        self.values[key] = value + (self.values.get(key, 0) if metric.kind == "counter" else 0)


def counts(accepted, low_clip, failed, gpu_seconds=0.0):
    return ShardCounts(
        planned=accepted + low_clip + failed,
        accepted=accepted,
        rejected={"low_clip": low_clip},
        failed=failed,
        stages={"score": StageFigures(rows=10, seconds=20.0, gpu_seconds=gpu_seconds)},
        num_bytes=1000,
    )


@pytest.fixture
def run(nano):
    """A run of 40 pairs in 4 shards."""
    config = nano("pairs.count=40", "pairs.per_subject=2", "subjects_per_shard=5")
    return GenerationRun.of(config, Plan(config), {})


def test_the_driver_tells_this_start_from_the_whole_run(run):
    record, totals = Recorded(), Totals()
    totals.add(counts(2, 8, 0, 1800.0))  # of an earlier start
    metrics = RunMetrics(record, run, price_per_gpu_hour=3.0)
    metrics.show(totals)
    assert record.values["run_pairs", "accepted", ""] == 2
    assert ("shards_committed",) not in record.values
    shard = counts(6, 3, 1, 1800.0)
    totals.add(shard)
    metrics.update(shard, totals)
    values = record.values
    assert values["shards_committed",] == 1 and values["run_committed_shards",] == 2
    assert values["written_bytes",] == 1000
    assert values["pairs", "rejected", "low_clip"] == 3 and values["run_pairs", "rejected", "low_clip"] == 11
    assert values["pairs", "failed", ""] == values["run_pairs", "failed", ""] == 1
    assert (values["run_planned_pairs",], values["run_planned_shards",]) == (40, 4)
    assert values["run_gpu_seconds",] == 3600 and values["run_cost",] == 3.0
    assert values["run_gpu_seconds_per_accepted",] == 3600 / 8 and values["run_cost_per_accepted",] == 3.0 / 8
    assert values["run_expected_end_seconds",] > datetime.now(UTC).timestamp() - 60


def test_without_accepted_pairs_or_a_price_nothing_is_divided_or_invented(run):
    record, totals = Recorded(), Totals()
    totals.add(counts(0, 9, 1, 100.0))
    RunMetrics(record, run, price_per_gpu_hour=0.0).show(totals)
    published = {key[0] for key in record.values}
    assert "run_gpu_seconds" in published
    assert not published & {"run_gpu_seconds_per_accepted", "run_cost", "run_cost_per_accepted"}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_says_what_it_is(metric):
    assert metric.name.startswith("toffee_") and metric.help.endswith(".")
    assert not metric.name.endswith("_total")  # Ray adds it
    assert bool(metric.boundaries) == (metric.kind == "histogram")
    assert ("seconds" in metric.name.split("_")) <= ("seconds" in metric.help.lower() or metric.kind == "counter")
