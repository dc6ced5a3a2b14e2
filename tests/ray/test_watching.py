"""The metrics of a running job, as its operator's tools see them, against the ledger."""

from collections import Counter

import pyarrow.parquet as pq
import pytest

from tests.helpers.monitoring import panel_queries
from tests.helpers.watched_job import NUM_PAIRS, NUM_SHARDS
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import IMAGE_STAGES
from toffee_pipeline.metrics import METRICS
from toffee_pipeline.rundir.manifests import data_files

NO_DATA_HERE = {"toffee_gpu_memory_bytes", "toffee_retries", "toffee_storage_retries", "toffee_storage_wait_seconds"}
"""Without a GPU, a process that dies or a storage that fails."""


def values(watched, name, samples=None):
    """Tags -> value."""
    return {
        tags: value
        for (sample, tags), value in (watched.last if samples is None else samples).items()
        if sample == name
    }


def per_stage(watched, name):
    return {dict(tags)["stage"]: value for tags, value in values(watched, f"ray_toffee_stage_{name}").items()}


def tags(**pairs):
    return frozenset((key, value) for key, value in pairs.items() if value)


def test_every_metric_is_published_under_its_name(watched):
    published = {sample for sample, _ in {**watched.ever, **watched.last}}
    for metric in METRICS.values():
        if metric.name not in NO_DATA_HERE:
            assert metric.exported + "_count" * (metric.kind == "histogram") in published


def test_counters_of_stages_equal_the_ledger(watched):
    figures = watched.totals.stages
    assert per_stage(watched, "rows_total") == {
        stage: figures[stage].rows for stage in load_config("nano").model_stages if figures[stage].rows
    }
    assert per_stage(watched, "images_total") == {
        stage: figures[stage].rows for stage in IMAGE_STAGES if figures[stage].rows
    }
    for stage, seconds in per_stage(watched, "seconds_total").items():
        assert seconds == pytest.approx(figures[stage].seconds)
    for stage, gpu_seconds in per_stage(watched, "gpu_seconds_total").items():
        assert gpu_seconds == pytest.approx(0.5 * figures[stage].seconds)
    assert per_stage(watched, "batch_seconds_count") == per_stage(watched, "row_seconds_count")
    rows = [row for path in data_files(watched.storage, "_ledger") for row in pq.read_table(path).to_pylist()]
    assert per_stage(watched, "pairs_in_total")["synthesize"] == len(rows) == NUM_PAIRS
    ended = Counter(tags(outcome=row["status"], reason=row["reason"]) for row in rows)
    by_outcome = Counter()
    for key, number in values(watched, "ray_toffee_stage_pairs_out_total").items():
        by_outcome[frozenset(pair for pair in key if pair[0] != "stage")] += number
    assert by_outcome == ended == Counter(values(watched, "ray_toffee_pairs_total"))


def test_the_driver_tells_where_the_run_stands(watched):
    nothing = tags()
    assert values(watched, "ray_toffee_shards_committed_total") == {nothing: NUM_SHARDS}
    assert values(watched, "ray_toffee_written_bytes_total") == {nothing: watched.totals.num_bytes}
    assert values(watched, "ray_toffee_run_planned_pairs", watched.ever) == {nothing: NUM_PAIRS}
    assert values(watched, "ray_toffee_run_planned_shards", watched.ever) == {nothing: NUM_SHARDS}
    assert 0 < values(watched, "ray_toffee_run_committed_shards", watched.ever)[nothing] <= NUM_SHARDS
    for name in ("cost", "gpu_seconds"):
        assert values(watched, f"ray_toffee_run_{name}", watched.ever)[nothing] > 0
    assert sum(values(watched, "ray_toffee_actor_wait_seconds_total").values()) > 0


def test_every_panel_of_the_dashboard_shows_data(watched):
    if watched.rules is None:
        pytest.skip("no `prometheus` here (Debian's package): test_monitoring.py has looked at the queries' names")
    silent = {title for title, query in panel_queries() if (title, query) not in watched.answered}
    assert silent <= {"GPU memory held"}
    assert watched.stage_rows == sum(figures.rows for figures in watched.totals.stages.values())
    assert watched.rules and all(rule["health"] == "ok" for rule in watched.rules), watched.rules
