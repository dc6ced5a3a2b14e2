"""`python tests/nodes_driver.py WHAT OUTPUT [KEY=VALUE ...]`: the main job while nodes come and go, with the stage of
`faulty_driver`. Prints what it saw as JSON, last of all.

    grow    a node with a GPU; after the first commit a second one joins, and once that has worked the first one dies
            and nobody takes its place
    scale   the cluster of RAY_ADDRESS, whose autoscaler adds nodes; one of them dies after it has worked
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty_driver
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import on_ray
from actors.base import PairState
from jobs.generate import main as generate
from toffee_pipeline.commit import committed_shards
from toffee_pipeline.schema import SampleError
from toffee_pipeline.storage import open_storage

SEEN: dict[str, Any] = {}


class NotedChain(on_ray.RayChain):
    """Leaves a mark of the node that its actor works on."""

    def __init__(self, *args: Any) -> None:
        compute = faulty_driver.Faulty.compute

        def noted(self: faulty_driver.Faulty, batch: list[PairState]) -> list[bytes | SampleError]:
            done = compute(self, batch)
            (Path(os.environ["FAULT_MARKS"]) / ray.get_runtime_context().get_node_id()).touch()
            return done

        faulty_driver.Faulty.compute = noted  # type: ignore[method-assign]
        faulty_driver.install()
        super().__init__(*args)


def worked() -> set[str]:
    """Nodes on which an actor has computed."""
    return {mark.name for mark in Path(os.environ["FAULT_MARKS"]).iterdir()}


def wait_for(what: Callable[[], object]) -> None:
    while not what():
        time.sleep(0.2)


def grow(output: str) -> Callable[[], None]:
    from ray.cluster_utils import Cluster

    # as for tests of Ray's own: a node counts as dead after a second or two, not half a minute
    system = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "_system_config": system}
    )
    first = cluster.add_node(num_cpus=1, num_gpus=1)
    ray.init(address=cluster.address, logging_level="WARNING")

    def play() -> None:
        wait_for(lambda: committed_shards(open_storage(output)))
        SEEN["before"] = sorted(worked())
        cluster.add_node(num_cpus=1, num_gpus=1)
        wait_for(lambda: len(worked()) == 2)
        SEEN["committed"] = len(committed_shards(open_storage(output)))
        first.kill_raylet(check_alive=False)

    threading.Thread(target=play, daemon=True).start()
    return cluster.shutdown


@ray.remote(num_cpus=0, max_retries=0)
def end_this_node() -> None:
    os.kill(os.getppid(), signal.SIGKILL)  # the raylet is every worker's parent


def scale(output: str) -> Callable[[], None]:
    ray.init(logging_level="WARNING")
    SEEN["before"] = [node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]]

    def play() -> None:
        wait_for(lambda: len(worked()) == 2)
        SEEN["committed"] = len(committed_shards(open_storage(output)))
        lost = min(worked())
        end_this_node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(lost, soft=False)).remote()
        wait_for(lambda: len(worked()) == 3)

    threading.Thread(target=play, daemon=True).start()
    return lambda: None


def main() -> None:
    what, output, *settings = sys.argv[1:]
    faulty_driver.install()
    on_ray.RayChain = NotedChain  # type: ignore[misc]
    shutdown = {"grow": grow, "scale": scale}[what](output)
    sets = ["stages.score.timeout_s=60", "stages.score.batch_size=4", *settings]
    try:
        generate(["--output", output, *(word for item in sets for word in ("--set", item))], standalone_mode=False)
        SEEN["worked"] = len(worked())
        print(json.dumps(SEEN), flush=True)
    finally:
        ray.shutdown()
        shutdown()


if __name__ == "__main__":
    main()
