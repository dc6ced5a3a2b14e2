"""The files under cluster/monitoring, without a server: names, syntax, provisioning."""

import json
import shutil
import subprocess

import pytest
import yaml

from tests.helpers.monitoring import DASHBOARD, MONITORING, metrics_in, panel_queries
from toffee_pipeline.metrics import METRICS

KNOWN = {metric.exported for metric in METRICS.values() if metric.kind != "histogram"} | {
    f"{metric.exported}_{part}"
    for metric in METRICS.values()
    if metric.kind == "histogram"
    for part in ("bucket", "sum", "count")
}


def alerts():
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


QUERIES = panel_queries() + [(rule["alert"], rule["expr"]) for rule in alerts()]


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[f"{n} {title}" for n, (title, _) in enumerate(QUERIES)])
def test_a_query_names_metrics_that_exist(title, query):
    names = metrics_in(query)
    assert names and names <= KNOWN
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing)


def test_every_metric_is_on_the_dashboard():
    shown = {name for _, query in panel_queries() for name in metrics_in(query)}
    for metric in METRICS.values():
        assert any(name.startswith(metric.exported) for name in shown), metric.name


def test_prometheus_finds_every_query_sound(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no `promtool` here (Debian's package `prometheus`)")
    rules = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(panel_queries())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for command in (["check", "config", MONITORING / "prometheus.yml"], ["check", "rules", tmp_path / "panels.yml"]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_provisioned():
    board = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert board["uid"] and board.get("id") is None  # Grafana numbers dashboards itself
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "run"}
    source = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["type"] == "prometheus"
    provider = yaml.safe_load((MONITORING / "grafana/provisioning/dashboards/toffee.yml").read_text())
    assert provider["providers"][0]["type"] == "file"


def test_nothing_listens_beyond_this_machine():
    for path in MONITORING.rglob("*.*"):
        assert path.is_dir() or "0.0.0.0" not in path.read_text()
