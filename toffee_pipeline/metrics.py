"""Names, units and help of every metric, once.

`on_ray/metrics.py` publishes them: Ray puts "ray_" before each name, and "_total" after a counter's. Every metric has
the tag `run`, the URI of the run directory. Counters count work, so what a retry repeats twice; the gauges `run_*` go
by committed shards alone, also those of earlier starts, and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


@dataclass(frozen=True)
class Metric:
    """tags: besides `run`. boundaries: upper ends of a histogram's buckets."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """As Prometheus sees it; a histogram's series have `_bucket`, `_sum` and `_count` after it."""
        return f"ray_{self.name}" + "_total" * (self.kind == "counter")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # from the actors
        Metric("toffee_stage_rows", "counter", "Rows (subjects or pairs) that a stage has computed.", ("stage",)),
        Metric("toffee_stage_pairs_in", "counter", "Pairs that came into a stage still open.", ("stage",)),
        Metric(
            "toffee_stage_pairs_out",
            "counter",
            "Pairs that ended in a stage: outcome is accepted, rejected (with the reason) or failed.",
            ("stage", "outcome", "reason"),
        ),
        Metric(
            "toffee_stage_images", "counter", "Images that a stage has made; its rate is images per second.", ("stage",)
        ),
        Metric(
            "toffee_stage_seconds", "counter", "Seconds for which a stage has computed, over all actors.", ("stage",)
        ),
        Metric("toffee_stage_gpu_seconds", "counter", "The same times the GPUs that the actor holds.", ("stage",)),
        Metric("toffee_stage_batch_seconds", "histogram", "Seconds of a micro-batch.", ("stage",), SECONDS),
        Metric(
            "toffee_stage_row_seconds", "histogram", "Seconds per row, of each micro-batch once.", ("stage",), SECONDS
        ),
        Metric("toffee_actor_wait_seconds", "counter", "Seconds for which actors waited for a shard.", ("actor",)),
        Metric(
            "toffee_storage_retries", "counter", "Writers' requests that the storage failed and that were repeated."
        ),
        Metric("toffee_storage_wait_seconds", "counter", "Seconds of waiting for a store that was away."),
        Metric("toffee_gpu_memory_bytes", "gauge", "Most GPU memory that an actor's torch has held.", ("actor", "gpu")),
        # from the driver, of this start
        Metric("toffee_shards_committed", "counter", "Shards that were committed."),
        Metric("toffee_pairs", "counter", "Pairs of committed shards.", ("outcome", "reason")),
        Metric("toffee_written_bytes", "counter", "Bytes of committed files."),
        Metric("toffee_retries", "counter", "Tries at a shard whose last try's process died."),
        # from the driver, of the whole run
        Metric("toffee_run_planned_pairs", "gauge", "Pairs that the plan has."),
        Metric("toffee_run_pairs", "gauge", "Pairs of committed shards.", ("outcome", "reason")),
        Metric("toffee_run_planned_shards", "gauge", "Shards that the plan has."),
        Metric("toffee_run_committed_shards", "gauge", "Shards that are committed."),
        Metric("toffee_run_gpu_seconds", "gauge", "GPU seconds in committed shards."),
        Metric("toffee_run_cost", "gauge", "GPU hours times price_per_gpu_hour, in its currency."),
        Metric("toffee_run_gpu_seconds_per_accepted", "gauge", "GPU seconds per accepted pair."),
        Metric("toffee_run_cost_per_accepted", "gauge", "Cost per accepted pair, in the price's currency."),
        Metric("toffee_run_expected_end_seconds", "gauge", "When the run ends at its pace now, Unix time in seconds."),
    )
}


class MetricSink(Protocol):
    """Counts up by `value`, sets a gauge to it or observes it, as the metric's kind is."""

    def __call__(self, name: str, value: float, **tags: str) -> None: ...


def no_metrics(name: str, value: float, **tags: str) -> None:
    """Without Ray nobody collects metrics."""
