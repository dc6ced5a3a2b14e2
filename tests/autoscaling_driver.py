"""`python tests/autoscaling_driver.py OUTPUT [KEY=VALUE ...]`: the main job, with the stage of `faulty_driver`, on RAY_ADDRESS.

After the first commit it takes away one node that the autoscaler has added, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import ray
from faulty_driver import FaultyChain, install
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import pipeline
from jobs.generate import main as generate
from toffee_pipeline.commit import committed_shards
from toffee_pipeline.storage import open_storage


@ray.remote(num_cpus=0, max_retries=0)
def end_this_node() -> None:
    os.kill(os.getppid(), signal.SIGKILL)  # the raylet is every worker's parent


def take_a_node_away(output: str, seen: dict[str, object]) -> None:
    here = ray.get_runtime_context().get_node_id()
    storage = open_storage(output)
    while True:
        added = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
        seen["most_added"] = max(len(added), int(str(seen["most_added"])))
        if added and committed_shards(storage):
            break
        time.sleep(0.2)
    seen["lost"], seen["committed_then"] = added[0], len(committed_shards(storage))
    end_this_node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(added[0], soft=False)).remote()


def main() -> None:
    output, *settings = sys.argv[1:]
    install()
    pipeline.RayChain = FaultyChain
    ray.init(logging_level="WARNING")
    seen: dict[str, object] = {"added_at_start": len(ray.nodes()) - 1, "most_added": 0}
    threading.Thread(target=take_a_node_away, args=(output, seen), daemon=True).start()
    sets = ["placement=fused", "fused.num_cpus=1", "stages.score.batch_size=4", *settings]
    try:
        generate(["--output", output, *(word for item in sets for word in ("--set", item))])
    finally:
        print(json.dumps(seen), flush=True)
        ray.shutdown()


if __name__ == "__main__":
    main()
