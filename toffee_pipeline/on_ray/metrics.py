"""Publishes metrics through Ray, which exports them on a port of each node."""

from __future__ import annotations

import sys
from typing import Any

from toffee_pipeline.metrics import METRICS


class RayMetricSink:
    """A `metrics.MetricSink` of one process. Recording is a call into Ray's C++ core and waits for nobody.

    Ray forgets a gauge that is not set again in two of its report intervals (20 s): `refresh` sets all of them. A gauge
    that is set before Ray is up waits for it. run: the URI of the run directory.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._metrics: dict[str, Any] = {}
        self._gauges: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def __call__(self, name: str, value: float, **tags: str) -> None:
        if METRICS[name].kind == "gauge":
            self._gauges[name, frozenset(tags.items())] = value
        self._publish(name, value, tags)

    def refresh(self) -> None:
        """Sets each gauge again to its last value."""
        for (name, tags), value in list(self._gauges.items()):  # a copy: another thread may record
            self._publish(name, value, dict(tags))

    def _publish(self, name: str, value: float, tags: dict[str, str]) -> None:
        ray = sys.modules.get("ray")  # an inline run never imports it
        if ray is None or not ray.is_initialized():
            return
        if name not in self._metrics:
            self._metrics[name] = self._make(name)
        metric, kind = self._metrics[name], METRICS[name].kind
        if kind == "histogram":
            metric.observe(value, tags)
        elif kind == "gauge":
            metric.set(value, tags)
        elif value > 0:  # Ray refuses to count up by nothing
            metric.inc(value, tags)

    def _make(self, name: str) -> Any:
        from ray.util import metrics

        metric = METRICS[name]
        classes = {"counter": metrics.Counter, "gauge": metrics.Gauge, "histogram": metrics.Histogram}
        options: dict[str, Any] = {"boundaries": list(metric.boundaries)} if metric.kind == "histogram" else {}
        made = classes[metric.kind](name, description=metric.help, tag_keys=("run", *metric.tags), **options)
        return made.set_default_tags({"run": self._run})
