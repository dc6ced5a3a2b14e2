"""The cache of a training is filled on Ray, some files at a time."""

import subprocess
import sys

from tests.helpers.training_job import write_photos

FILLS = """
import sys
from tests.helpers.training import make_config
from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.errors import PlacementError
from toffee_pipeline.on_ray.session import ray_session
from toffee_pipeline.train import ray_data
from toffee_pipeline.train.data.cache import Cache
from toffee_pipeline.train.data.sources import make_source

ray_data.FILES_PER_DATASET = 2
folder = sys.argv[1]
photos = [f"{{format: folder, path: '{folder}/{name}'}}" for name in "abc"]
settings = f"data.sources=[{', '.join(photos)}]", f"data.cache={folder}/cache"
config = make_config(RefinerTraining, *settings, "workers.placement=ray")
cache = Cache.open(config)
sources = [make_source(source) for source in config.data.sources]
missing = [(name, source, file) for name, source in zip("abc", sources) for file in source.files()]
many = make_config(RefinerTraining, *settings, "workers.placement=ray", "workers.num_workers=4")
with ray_session(1):
    try:
        ray_data.fill_cache(many, cache, missing, lambda: None)
    except PlacementError as error:
        print(error, len(cache.known()))
    done = []
    ray_data.fill_cache(config, cache, missing, lambda: done.append(1))
print(len(done), cache.known() == {cache.key_of(name, file) for name, _, file in missing})
"""


def test_each_file_is_filled_once_and_nothing_for_a_training_that_cannot_start(tmp_path, cluster):
    for name in "abc":
        write_photos(tmp_path / name, 2)
    filled = subprocess.run([sys.executable, "-c", FILLS, tmp_path], env=cluster.driver, capture_output=True, text=True)
    assert filled.returncode == 0, filled.stderr
    refused, done = filled.stdout.splitlines()
    assert refused.startswith("the workers and a reader for each need 8 CPUs and the cluster has 6")
    assert refused.endswith("or add nodes 0")
    assert done == "3 True"
