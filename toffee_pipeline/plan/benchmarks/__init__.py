"""The benchmarks: a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toffee_pipeline.plan.benchmark import Benchmark
from toffee_pipeline.plan.benchmarks.dreambench import dataset_folder, load_dreambench
from toffee_pipeline.plan.benchmarks.dreambench_plus import load_dreambench_plus
from toffee_pipeline.plan.benchmarks.nano import load_nano

FROM_FOLDER: dict[str, Callable[[Path], Benchmark]] = {
    "dreambench": load_dreambench,
    "dreambench++": load_dreambench_plus,
}


def folder_of(name: str, path: Path) -> Path:
    """Where the pictures' names begin, of a benchmark of `FROM_FOLDER` at `path`."""
    return dataset_folder(path) if name == "dreambench" else path


def load_benchmark(name: str, path: Path | None) -> Benchmark:
    """name: "nano", or one of `FROM_FOLDER`, which lies at `path`. Raises PlanError."""
    if name == "nano":
        return load_nano()
    assert path is not None  # the config's own validator
    return FROM_FOLDER[name](path)
