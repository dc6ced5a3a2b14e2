"""`python -m benchmarks.chaos_job LOG ARGUMENTS`: jobs/generate.py, whose actors log what they compute, as they do it.

A process that is killed leaves its log behind, so that lost work can be counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from actors.executors import on_ray
from jobs.generate import main


class LoggedChain(on_ray.RayChain):
    """Appends a line to a file of its process before each shard, after each micro-batch and after the shard."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._file = Path(os.environ["CHAOS_LOG"]).joinpath(f"{os.getpid()}-{time.time_ns()}.jsonl").open("a")
        for stage in self._chain.stages:
            stage.progress = self._logged(stage.progress)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self._cpu = time.process_time()
        self._log(shard=row["shard"].index)
        result = super().__call__(row)
        self._log(done=True)
        return result

    def _logged(self, progress: Any) -> Any:
        def log(stage: str, rows: int, seconds: float) -> None:
            before, self._cpu = self._cpu, time.process_time()
            self._log(rows=rows, seconds=seconds, cpu_seconds=self._cpu - before)
            progress(stage, rows, seconds)

        return log

    def _log(self, **figures: Any) -> None:
        self._file.write(json.dumps({"time": time.time(), **figures}) + "\n")
        self._file.flush()


if __name__ == "__main__":
    os.environ["CHAOS_LOG"] = sys.argv[1]
    on_ray.RayChain = LoggedChain  # type: ignore[assignment,misc]
    main(sys.argv[2:])
