"""The metrics of a running job, as its operator's tools see them, against the ledger."""

import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from tests.conftest import QUICK
from tests.helpers.monitoring import ask, panel_queries, prometheus_server, scrape
from toffee_pipeline.config.stages import IMAGE_STAGES, MODEL_STAGES
from toffee_pipeline.metrics import METRICS
from toffee_pipeline.rundir.commit import data_files
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.storage import open_storage

NO_DATA_HERE = {"toffee_gpu_memory_bytes", "toffee_retries", "toffee_storage_retries"}
"""Without a GPU, a process that dies or a storage that fails."""
NUM_PAIRS, NUM_SHARDS = 20, 10
"""Enough for a look between two commits: gauges are gone when the driver is."""
SETTINGS = (
    "subjects.source=renderer",
    *QUICK,
    f"pairs.count={NUM_PAIRS}",
    "pairs.per_subject=2",
    "subjects_per_shard=1",
    "placement=fused",
    "fused.num_actors=1",
    "fused.num_gpus=0.5",
    "device=auto",
    "price_per_gpu_hour=3",
)
LOOK_EVERY_S = 3
"""Ray's endpoints take about a tenth of a second of a core to answer."""


@pytest.fixture(scope="module")
def job(tmp_path_factory, cluster):
    """A job that was watched to its end: what its endpoints showed, and a Prometheus where there is one."""
    folder = tmp_path_factory.mktemp("metrics")
    sets = [word for item in SETTINGS for word in ("--set", item)]
    command = [sys.executable, "jobs/generate.py", "--output", str(folder / "run"), *sets]
    listed, storage = cluster.metrics_endpoints, open_storage(str(folder / "run"))
    with prometheus_server(listed, folder) as url, open(folder / "log", "w+") as log:
        process = subprocess.Popen(command, env=cluster.driver, stdout=log, stderr=log)
        ever, answered = {}, set()
        while process.poll() is None:
            ever |= scrape(listed, storage.uri)
            answered |= with_data(url, set(panel_queries()) - answered)
            time.sleep(LOOK_EVERY_S)
        assert process.returncode == 0, (folder / "log").read_text()
        totals = total(storage)
        # what a process has counted reaches the endpoint within one report interval
        written = ("ray_toffee_written_bytes_total", frozenset())
        while (last := scrape(listed, storage.uri)).get(written, 0) < totals.num_bytes:
            time.sleep(LOOK_EVERY_S)
        time.sleep(LOOK_EVERY_S if url else 0)  # for Prometheus to see the last of it
        answered |= with_data(url, set(panel_queries()) - answered)
        yield SimpleNamespace(ever=ever, answered=answered, last=last, totals=totals, storage=storage, url=url)


def with_data(url, queries):
    """Those that find data at this moment; a query that does not parse is an error."""
    return {(title, query) for title, query in queries if url and ask(url, "query", query=query)["result"]}


def values(job, name, samples=None):
    """Tags -> value."""
    return {
        tags: value for (sample, tags), value in (job.last if samples is None else samples).items() if sample == name
    }


def per_stage(job, name):
    return {dict(tags)["stage"]: value for tags, value in values(job, f"ray_toffee_stage_{name}").items()}


def tags(**pairs):
    return frozenset((key, value) for key, value in pairs.items() if value)


def test_every_metric_is_published_under_its_name(job):
    published = {sample for sample, _ in {**job.ever, **job.last}}
    for metric in METRICS.values():
        if metric.name not in NO_DATA_HERE:
            assert metric.exported + "_count" * (metric.kind == "histogram") in published


def test_counters_of_stages_equal_the_ledger(job):
    figures = job.totals.stages
    assert per_stage(job, "rows_total") == {stage: figures[stage].rows for stage in MODEL_STAGES if figures[stage].rows}
    assert per_stage(job, "images_total") == {
        stage: figures[stage].rows for stage in IMAGE_STAGES if figures[stage].rows
    }
    for stage, seconds in per_stage(job, "seconds_total").items():
        assert seconds == pytest.approx(figures[stage].seconds)
    for stage, gpu_seconds in per_stage(job, "gpu_seconds_total").items():
        assert gpu_seconds == pytest.approx(0.5 * figures[stage].seconds)
    assert per_stage(job, "batch_seconds_count") == per_stage(job, "row_seconds_count")
    rows = [row for path in data_files(job.storage, "ledger") for row in pq.read_table(path).to_pylist()]
    assert per_stage(job, "pairs_in_total")["synthesize"] == len(rows) == NUM_PAIRS
    ended = Counter(tags(outcome=row["status"], reason=row["reason"]) for row in rows)
    by_outcome = Counter()
    for key, number in values(job, "ray_toffee_stage_pairs_out_total").items():
        by_outcome[frozenset(pair for pair in key if pair[0] != "stage")] += number
    assert by_outcome == ended == Counter(values(job, "ray_toffee_pairs_total"))


def test_the_driver_tells_where_the_run_stands(job):
    nothing = tags()
    assert values(job, "ray_toffee_shards_committed_total") == {nothing: NUM_SHARDS}
    assert values(job, "ray_toffee_written_bytes_total") == {nothing: job.totals.num_bytes}
    assert values(job, "ray_toffee_run_planned_pairs", job.ever) == {nothing: NUM_PAIRS}
    assert values(job, "ray_toffee_run_planned_shards", job.ever) == {nothing: NUM_SHARDS}
    assert 0 < values(job, "ray_toffee_run_committed_shards", job.ever)[nothing] <= NUM_SHARDS
    cost, gpu_seconds = (values(job, f"ray_toffee_run_{name}", job.ever)[nothing] for name in ("cost", "gpu_seconds"))
    assert cost > 0 and gpu_seconds > 0
    assert sum(values(job, "ray_toffee_actor_wait_seconds_total").values()) > 0


def test_every_panel_of_the_dashboard_shows_data(job):
    if job.url is None:
        pytest.skip("no `prometheus` here (Debian's package): test_monitoring.py has looked at the queries' names")
    silent = {title for title, query in panel_queries() if (title, query) not in job.answered}
    assert silent <= {"GPU memory held"}
    (value,) = ask(job.url, "query", query=f'sum(ray_toffee_stage_rows_total{{run="{job.storage.uri}"}})')["result"]
    assert float(value["value"][1]) == sum(figures.rows for figures in job.totals.stages.values())
    rules = [rule for group in ask(job.url, "rules")["groups"] for rule in group["rules"]]
    assert rules and all(rule["health"] == "ok" for rule in rules), rules
