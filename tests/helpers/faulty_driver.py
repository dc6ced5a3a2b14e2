"""`python tests/helpers/faulty_driver.py FAULTS OUTPUT [KEY=VALUE ...]`: the main job on Ray with one stage that fails.

The stage has no models: it paints each pair in a colour of its own, slowly. FAULTS are words such as "kill=5,black=9":
what `Faulty.compute` does to which pair; "node" ends a raylet, "" nothing. A fault that strikes once leaves a mark in
the folder FAULT_MARKS.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors import chain
from actors.base import PairState, Shard, Stage
from actors.executors import on_ray
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.rundir.commit import committed_shards
from toffee_pipeline.storage import open_storage

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

SIDE_PX = 64
MASK = encode_mask(np.ones((SIDE_PX, SIDE_PX), np.bool_))
DEPTH = encode_depth(np.full((SIDE_PX, SIDE_PX), 0.5, np.float32))
NODES = 3


def picture(seed: int) -> bytes:
    color = np.random.default_rng(seed).integers(30, 220, 3, dtype=np.uint8)
    return encode_png(np.broadcast_to(color, (SIDE_PX, SIDE_PX, 3)).copy())


class Faulty(Stage):
    name = "score"

    def process(self, shard: Shard) -> None:
        for subject in shard.open_subjects():
            subject.image, subject.mask, subject.depth = picture(subject.subject.seed), MASK, DEPTH

        def store(state: PairState, image: bytes) -> None:
            state.input = state.draft = state.target = image
            state.edit_mask = MASK if state.pair.kind == "edit" else None
            state.dino_score = state.clip_score = 0.9
            state.status = "accepted"

        self.run(shard.open_pairs(), self.compute, store)

    def compute(self, batch: list[PairState]) -> list[bytes | SampleError]:
        faults = [FAULTS.get(state.id) for state in batch]
        if "poison" in faults or ("kill" in faults and first_time("kill")):
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in faults and first_time("hang"):
            time.sleep(3600)
        if "memory" in faults or ("memory" in FAULTS.values() and len(batch) > 2):
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(float(os.environ.get("FAULT_SLEEP_S", "0.02")) * len(batch))
        black = SampleError("the model's image is all black")
        return [
            black if fault == "black" else picture(state.pair.seed) for state, fault in zip(batch, faults, strict=True)
        ]


def parse(faults: str) -> dict[str, str]:
    """Pair id -> fault, of words such as "kill=5"."""
    words = (word.split("=") for word in faults.split(",") if "=" in word)
    return {f"p{int(number):09d}": fault for fault, number in words}


FAULTS = parse(os.environ.get("FAULTS", ""))


def first_time(fault: str) -> bool:
    try:
        (Path(os.environ["FAULT_MARKS"]) / fault).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def install() -> None:
    """Makes this stage the whole pipeline of the calling process."""
    chain.STAGE_CLASSES.clear()
    chain.STAGE_CLASSES[Faulty.name] = Faulty


class FaultyChain(on_ray.RayChain):
    """Brings the stage into its actor, and only there: a hook in every worker would import torch for each write."""

    def __init__(self, *args: Any) -> None:
        install()
        super().__init__(*args)


def main() -> None:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    from jobs.generate import main as generate

    install()
    on_ray.RayChain = FaultyChain
    on_ray.SHARDS_PER_DATASET = 5  # so that a run of eight takes two Datasets
    faults, output, *settings = sys.argv[1:]
    os.environ["FAULTS"] = faults  # for the actors
    FAULTS.update(parse(faults))
    cluster = None
    if faults == "node":
        cluster = _cluster(settings, output)
    elif "placement=inline" not in settings:
        ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level="WARNING")
    sets = ["placement=fused", "fused.num_cpus=1", "stages.score.timeout_s=6", "stages.score.batch_size=4", *settings]
    try:
        generate(["--output", output, *(word for item in sets for word in ("--set", item))])
    finally:
        ray.shutdown()  # before the cluster's raylets end: a driver that outlives its raylet exits with 1
        if cluster is not None:
            cluster.shutdown()


def _cluster(settings: list[str], output: str) -> Cluster:
    """Several raylets on this machine; after the first commit one that holds actors is killed."""
    import threading

    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    workers = [cluster.add_node(num_cpus=1) for _ in range(NODES)]
    ray.init(address=cluster.address, logging_level="WARNING")
    settings.append(f"fused.num_actors={NODES - 1}")

    def kill_one() -> None:
        while not committed_shards(open_storage(output)):
            time.sleep(0.2)
        first_time("node")
        workers[0].kill_raylet(check_alive=False)

    threading.Thread(target=kill_one, daemon=True).start()
    return cluster


if __name__ == "__main__":
    main()
