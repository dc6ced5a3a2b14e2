"""Reads metrics as an operator's tools do: Ray's endpoints, a Prometheus server, the dashboard's queries."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

MONITORING = Path(__file__).parents[2] / "cluster" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "toffee.json"
RAY_LISTS = [f"/tmp/{folder}/prom_metrics_service_discovery.json" for folder in ("ray", "ray-0/ray", "ray-1000/ray")]
"""Ray's list of endpoints, where prometheus.yml expects it."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(listed: Path, run: str) -> Samples:
    """A run's samples on every endpoint of Ray's list: summed over processes, by the tags that are ours but `run`.

    An endpoint that does not answer yet has none, as for Prometheus: Ray lists it before it listens.
    """
    samples: Samples = defaultdict(float)
    if not listed.exists():
        return samples
    for target in (target for entry in json.loads(listed.read_text()) for target in entry["targets"]):
        try:
            with urlopen(f"http://{target}/metrics", timeout=120) as answer:
                text = answer.read().decode()
        except URLError:
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("ray_toffee_") and sample.labels.get("run") == run:
                    ours = {key: value for key, value in sample.labels.items() if key in TAGS and value}
                    samples[sample.name, frozenset(ours.items())] += sample.value
    return samples


TAGS = {"stage", "outcome", "reason", "actor", "gpu"}


def panel_queries() -> list[tuple[str, str]]:
    """(panel, query) of the dashboard, with Grafana's variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    filled = {"$__rate_interval": "5m", "$run": ".*"}
    queries = []
    for panel in panels:
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in filled.items():
                query = query.replace(variable, value)
            queries.append((panel["title"], query))
    return queries


def metrics_in(query: str) -> set[str]:
    """Names of the project's metrics in a query."""
    return set(re.findall(r"\bray_toffee_\w+", query))


@contextmanager
def prometheus_server(listed: Path, folder: Path) -> Iterator[str | None]:
    """Runs Prometheus with the project's config on a free port of the loopback and yields its URL; None where there is
    no `prometheus` (Debian's package of this name)."""
    binary = shutil.which("prometheus")
    if binary is None:
        yield None
        return
    config = (MONITORING / "prometheus.yml").read_text()
    for path in RAY_LISTS:
        assert path in config
        config = config.replace(path, str(listed))
    config = config.replace(": 10s", ": 2s")
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(MONITORING / "alerts.yml", folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with open(folder / "prometheus.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not _ready(address):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "prometheus.log").read_text()
            time.sleep(0.2)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


def _ready(address: str) -> bool:
    try:
        with urlopen(f"http://{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(url: str, path: str, **parameters: str) -> dict:
    """An answer of Prometheus's API; urlopen raises for a query that does not parse."""
    with urlopen(f"{url}/api/v1/{path}?{urlencode(parameters)}", timeout=120) as answer:
        content = json.loads(answer.read())
    assert content["status"] == "success"
    return content["data"]
