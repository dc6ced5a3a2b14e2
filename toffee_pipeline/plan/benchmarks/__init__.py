"""The benchmarks: a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toffee_pipeline.plan.benchmark import Benchmark
from toffee_pipeline.plan.benchmarks.dreambench import load_dreambench
from toffee_pipeline.plan.benchmarks.dreambench_plus import load_dreambench_plus
from toffee_pipeline.plan.benchmarks.nano import load_nano

FROM_FOLDER: dict[str, Callable[[Path], Benchmark]] = {
    "dreambench": load_dreambench,
    "dreambench++": load_dreambench_plus,
}


def load_benchmark(name: str, path: Path | None) -> Benchmark:
    """name: "nano", or one of `FROM_FOLDER`, which lies at `path`. Raises PlanError."""
    if name == "nano":
        return load_nano()
    assert path is not None  # the config's own validator
    return FROM_FOLDER[name](path)
