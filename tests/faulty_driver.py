"""`python tests/faulty_driver.py FAULT OUTPUT [KEY=VALUE ...]`: the main job on Ray, whose one stage fails on purpose.

The stage has no models: it paints each pair in a colour of its own, slowly. FAULT is one that `Faulty.compute` names;
one that strikes once leaves a mark in the folder FAULT_MARKS.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from actors import pipeline
from actors.base import PairState, Shard, Stage
from toffee_pipeline.commit import committed_shards
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.schema import SampleError
from toffee_pipeline.storage import open_storage

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

SIDE_PX = 64
MASK = encode_mask(np.ones((SIDE_PX, SIDE_PX), np.bool_))
DEPTH = encode_depth(np.full((SIDE_PX, SIDE_PX), 0.5, np.float32))
BAD = "p000000005"
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
        fault, has_bad = os.environ["FAULT"], any(state.id == BAD for state in batch)
        if has_bad and fault == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        if has_bad and fault == "kill" and first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        if has_bad and fault == "hang" and first_time():
            time.sleep(3600)
        if fault == "memory" and (len(batch) > 2 or has_bad):
            raise torch.OutOfMemoryError("CUDA out of memory")
        if has_bad and fault == "black":
            return [
                SampleError("the model's image is all black") if s.id == BAD else picture(s.pair.seed) for s in batch
            ]
        time.sleep(float(os.environ.get("FAULT_SLEEP_S", "0.02")) * len(batch))
        return [picture(state.pair.seed) for state in batch]


def first_time() -> bool:
    try:
        (Path(os.environ["FAULT_MARKS"]) / "struck").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def install() -> None:
    """Makes this stage the whole pipeline of the calling process."""
    pipeline.STAGE_CLASSES.clear()
    pipeline.STAGE_CLASSES[Faulty.name] = Faulty


def main() -> None:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    from jobs.generate import main as generate

    install()
    hook = {
        "worker_process_setup_hook": "tests.faulty_driver.install",
        "env_vars": {"PYTHONPATH": str(Path(__file__).parents[1]), "FAULT": sys.argv[1]},
    }
    fault, output, *settings = sys.argv[1:]
    os.environ["FAULT"] = fault
    cluster = None
    if fault == "node":
        cluster = _cluster(hook, settings, output)
    else:
        ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level="WARNING", runtime_env=hook)
    sets = ["placement=fused", "fused.num_cpus=1", "stages.score.timeout_s=6", "stages.score.batch_size=4", *settings]
    try:
        generate(["--output", output, *(word for item in sets for word in ("--set", item))])
    finally:
        ray.shutdown()  # before the cluster's raylets end: a driver that outlives its raylet exits with 1
        if cluster is not None:
            cluster.shutdown()


def _cluster(hook: dict[str, str], settings: list[str], output: str) -> Cluster:
    """Several raylets on this machine; after the first commit one that holds actors is killed."""
    import threading

    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    workers = [cluster.add_node(num_cpus=1) for _ in range(NODES)]
    ray.init(address=cluster.address, logging_level="WARNING", runtime_env=hook)
    settings.append(f"fused.num_actors={NODES - 1}")

    def kill_one() -> None:
        while not committed_shards(open_storage(output)):
            time.sleep(0.2)
        (Path(os.environ["FAULT_MARKS"]) / "struck").touch()
        workers[0].kill_raylet(check_alive=False)

    threading.Thread(target=kill_one, daemon=True).start()
    return cluster


if __name__ == "__main__":
    main()
