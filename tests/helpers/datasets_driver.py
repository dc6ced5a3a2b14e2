"""`python tests/helpers/datasets_driver.py OUTPUT NUM_SHARDS SHARDS_PER_DATASET`: the executor on Ray alone, with stub
stages that may not see a model library in their processes. Prints the committed shards' accepted pairs as JSON."""

from __future__ import annotations

import json
import sys
from contextlib import closing

import ray

from actors.context import RunContext
from actors.executors import on_ray
from actors.shard import Shard
from tests.helpers.fork_server import ADDRESS
from tests.helpers.stub_stages import STUB_STAGES, Paint
from toffee_pipeline.config.load import load_config
from toffee_pipeline.on_ray.metrics import RayMetricSink
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.rundir.inputs import new_plan
from toffee_pipeline.storage import open_storage

MODEL_LIBRARIES = {"torch", "diffusers", "transformers", "open_clip"}


class Alone(Paint):
    def process(self, shard: Shard) -> None:
        if loaded := MODEL_LIBRARIES & sys.modules.keys():
            raise RuntimeError(f"loaded without need: {loaded}")
        super().process(shard)


def main(output: str, num_shards: int, shards_per_dataset: int) -> None:
    sets = (f"pairs.count={num_shards}", "pairs.per_subject=1", "subjects_per_shard=1", "fused.num_actors=1")
    few_writers = "fused.num_cpus=5"  # as ONE_SPARE_CPU of one_node.py, which imports more than a driver needs
    config = load_config("nano", ("placement=fused", few_writers, *sets))
    context = RunContext(config, output, RayMetricSink(output), say=lambda line: print(line, file=sys.stderr))
    plan = new_plan(config)
    claim(open_storage(output), GenerationRun.of(config, plan, {}))  # readers look whether theirs is the run's plan
    stages = {**STUB_STAGES, Alone.name: Alone}
    ray.init(runtime_env={"env_vars": {ADDRESS: ""}})  # its forks have seen every library
    with closing(on_ray.run(stages, context, range(num_shards), shards_per_dataset)) as shards:
        print(json.dumps([counts.accepted for counts in shards]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
