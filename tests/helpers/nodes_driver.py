"""`python tests/helpers/nodes_driver.py WHAT OUTPUT [KEY=VALUE ...]`: the main job while nodes come and go, with
`noted_stages`. Prints what it saw as JSON, last of all.

    pools   three nodes with a GPU each; after the first commit a fourth one joins; once it has worked, the node of the
            first stage dies, and then the node that this stage has gone to: two are left, and had to hold three actors
    scale   the cluster of RAY_ADDRESS, whose autoscaler adds nodes; one of them dies after it has worked
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.generate import generate
from tests.helpers.noted_stages import NOTED_STAGES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.rundir.manifests import committed_shards
from toffee_pipeline.storage import open_storage

MARKS = Path(os.environ["STUB_MARKS"])
SEEN: dict[str, Any] = {}
ALERT = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""As for tests of Ray's own: a node counts as dead after a second or two, not half a minute."""


def worked(stage: str) -> list[str]:
    """Nodes on which this stage has worked, the latest last."""
    marks = sorted(MARKS.glob(f"{stage} *"), key=lambda mark: mark.stat().st_mtime)
    return [mark.name.split()[1] for mark in marks]


class Job(threading.Thread):
    """The job, in a thread: Ray starts nodes in the main thread only."""

    def __init__(self, output: str, settings: list[str]) -> None:
        super().__init__(daemon=True)
        self.output = output
        self.config = load_config("nano", ("stages.score.timeout_s=60", "stages.score.batch_size=4", *settings))
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            generate(self.config, self.output, stages=NOTED_STAGES)
        except BaseException as error:  # which the main thread raises
            self.error = error

    def wait_for(self, what: Callable[[], object]) -> None:
        while not what():
            if not self.is_alive():
                raise RuntimeError("the job ended before its time") from self.error
            time.sleep(0.2)


def pools(output: str, settings: list[str]) -> Job:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "num_gpus": 1, "include_log_monitor": False}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "_system_config": ALERT}
    )
    ray.init(address=cluster.address, logging_level="WARNING")  # before the others come, so that it is the driver's
    atexit.register(cluster.shutdown)
    nodes = {added.node_id: added for added in (cluster.add_node(**node) for _ in range(3))}
    job = Job(output, settings)
    job.start()
    job.wait_for(lambda: committed_shards(open_storage(output)))
    joined = cluster.add_node(**node)
    nodes[joined.node_id] = joined
    job.wait_for(lambda: joined.node_id in [*worked("segment"), *worked("score")])
    for loss in ("first", "second"):
        SEEN[loss] = len(committed_shards(open_storage(output)))
        lost = worked("segment")[-1]
        nodes.pop(lost).kill_raylet(check_alive=False)
        job.wait_for(lambda lost=lost: worked("segment")[-1] != lost)
    return job


@ray.remote(num_cpus=0, max_retries=0)
def end_this_node() -> None:
    os.kill(int(os.environ["RAY_RAYLET_PID"]), signal.SIGKILL)


def scale(output: str, settings: list[str]) -> Job:
    ray.init(logging_level="WARNING")
    SEEN["before"] = [node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]]
    job = Job(output, settings)
    job.start()
    job.wait_for(lambda: len(worked("score")) == 2)
    SEEN["committed"] = len(committed_shards(open_storage(output)))
    lost = min(worked("score"))
    end_this_node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(lost, soft=False)).remote()
    job.wait_for(lambda: len(worked("score")) == 3)
    return job


def main() -> None:
    what, output, *settings = sys.argv[1:]
    try:
        job = {"pools": pools, "scale": scale}[what](output, settings)
        (MARKS / "over").touch()
        job.join()
        if job.error:
            raise job.error
        print(json.dumps({**SEEN, "worked": len(worked("score"))}), flush=True)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
