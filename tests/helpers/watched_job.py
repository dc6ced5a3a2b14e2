"""A fused job of real networks on a cluster, watched to its end."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import QUICK
from tests.helpers.monitoring import Samples, ask, panel_queries, prometheus_server, scrape
from tests.helpers.one_node import Cluster
from toffee_pipeline.rundir.totals import Totals, total
from toffee_pipeline.storage import Storage, open_storage

NUM_PAIRS, NUM_SHARDS = 20, 10
"""Enough for a look between two commits: gauges are gone when the driver is."""
SETTINGS = (
    "subjects.source=renderer",
    *QUICK,
    f"pairs.count={NUM_PAIRS}",
    "pairs.per_subject=2",
    "subjects_per_shard=1",
)
FUSED = ("placement=fused", "fused.num_actors=1", "fused.num_gpus=0.5", "device=auto", "price_per_gpu_hour=3")
LOOK_EVERY_S = 3
"""Ray's endpoints take about a tenth of a second of a core to answer."""


@dataclass(frozen=True)
class Watched:
    """What the job's endpoints showed.

    ever, last: samples that were seen at some time, and after its end. answered: of the dashboard's queries, those that
    found data. stage_rows: that all stages have counted, by Prometheus. rules: its alerts. None: this machine has no
    Prometheus. said: standard output and error.
    """

    storage: Storage
    ever: Samples
    last: Samples
    answered: set[tuple[str, str]]
    stage_rows: float | None
    rules: list[dict[str, Any]] | None
    totals: Totals
    said: str


def watch_job(cluster: Cluster, folder: Path) -> Watched:
    """Runs it, in `folder`. A Prometheus ends with it, since each of its looks costs Ray's agent some work."""
    sets = [word for item in (*SETTINGS, *FUSED) for word in ("--set", item)]
    command = [sys.executable, "jobs/generate.py", "--output", str(folder / "run"), *sets]
    listed, storage = cluster.metrics_endpoints, open_storage(str(folder / "run"))
    with prometheus_server(listed, folder) as url, open(folder / "log", "w+") as log:
        process = subprocess.Popen(command, env=cluster.driver, stdout=log, stderr=log)
        ever, answered = {}, set()
        while process.poll() is None:
            ever |= scrape(listed, storage.uri)
            answered |= _with_data(url, set(panel_queries()) - answered)
            time.sleep(LOOK_EVERY_S)
        said = (folder / "log").read_text()
        assert process.returncode == 0, said
        totals = total(storage)
        # what a process has counted reaches the endpoint within one report interval
        written = ("ray_toffee_written_bytes_total", frozenset())
        while (last := scrape(listed, storage.uri)).get(written, 0) < totals.num_bytes:
            time.sleep(LOOK_EVERY_S)
        time.sleep(LOOK_EVERY_S if url else 0)  # for Prometheus to see the last of it
        answered |= _with_data(url, set(panel_queries()) - answered)
        rows = f'sum(ray_toffee_stage_rows_total{{run="{storage.uri}"}})'
        stage_rows = float(ask(url, "query", query=rows)["result"][0]["value"][1]) if url else None
        rules = [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]] if url else None
    return Watched(storage, ever, last, answered, stage_rows, rules, totals, said)


def _with_data(url: str | None, queries: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that find data at this moment; a query that does not parse is an error."""
    return {(title, query) for title, query in queries if url and ask(url, "query", query=query)["result"]}
