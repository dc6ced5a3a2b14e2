"""Several workers of one training, over images as they lie in folders, which are encoded before."""

import subprocess
import sys

from tests.helpers.training_job import weights, words, write_photos
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.saved import steps_saved

A_FILE_AT_A_TIME = """
from jobs import train_refiner
from toffee_pipeline.train import ray_data
ray_data.FILES_PER_DATASET = 1
train_refiner.main()
"""


def test_two_workers_train_over_a_cache_to_the_end(tmp_path, cluster):
    output, cache = tmp_path / "run", tmp_path / "cache"
    folders = [write_photos(tmp_path / name, 16).split("=", 1)[1].strip("[]") for name in "ab"]
    settings = (f"data.sources=[{', '.join(folders)}]", f"data.cache={cache}")

    def run(num_workers):
        sets = words(*settings, f"workers.num_workers={num_workers}")
        command = [sys.executable, "-c", A_FILE_AT_A_TIME, "--output", str(output), *sets]
        return subprocess.run(command, env=cluster.driver, capture_output=True, text=True)

    refused = run(4)
    line = refused.stderr.splitlines()[-1]
    assert refused.returncode == 2, refused.stderr
    assert line.startswith("error: the workers and a reader for each need 8 CPUs and the cluster has 6"), refused.stderr
    assert not list(cache.glob("*/*.arrow"))  # nothing for a training that cannot start
    job = run(2)
    assert job.returncode == 0 and "2 workers" in job.stdout + job.stderr, job.stdout + job.stderr
    assert len(list(cache.glob("*/*.arrow"))) == len(folders)
    storage = open_storage(str(output))
    assert steps_saved(storage)[-1] == 4 and storage.exists("summary.json")
    assert all(value.isfinite().all() for value in weights(output).values())
