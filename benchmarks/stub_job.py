"""`jobs/generate.py` over sleeping stages (`stub_pipeline.py`), on a Ray of this machine that is told to have GPUs."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.fresh import in_fresh_process
from benchmarks.stub_pipeline import SETTINGS, Settings, stub_stages
from jobs.generate import generate
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.on_ray.placement import SPARE_CPUS
from toffee_pipeline.rundir.layout import MANIFESTS

ROOT = str(Path(__file__).parents[1])
OBJECT_STORE_BYTES = 500 * 2**20


def wall_s(config: RunConfig, num_gpus: int, settings: Settings) -> float:
    """From the moment in which all actors, one per GPU, are there, to the last shard's commit: the first shards' way
    through the stages and the last ones' are inside."""
    return in_fresh_process(_wall_s, config, num_gpus, settings)


def _wall_s(config: RunConfig, num_gpus: int, settings: Settings) -> float:
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # as ray_session does
    os.environ["RAY_worker_register_timeout_seconds"] = "600"  # noqa: SIM112  64 processes start on few cores
    import ray

    with tempfile.TemporaryDirectory() as folder:
        started, output = Path(folder, "started"), Path(folder, "run")
        started.mkdir()
        told = replace(settings, actors=num_gpus, folder=str(started)).encode()
        ray.init(
            address="local",
            num_cpus=SPARE_CPUS + round(num_gpus * config.fused.num_cpus + 0.5),
            num_gpus=num_gpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            logging_level="WARNING",
            runtime_env={"env_vars": {"PYTHONPATH": ROOT, SETTINGS: told}},
        )
        generate(config, str(output), stages=stub_stages(config))
        ray.shutdown()
        began = max(path.stat().st_mtime for path in started.iterdir())
        return max(path.stat().st_mtime for path in (output / MANIFESTS).rglob("*.json")) - began
