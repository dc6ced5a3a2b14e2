"""Several workers of one training, over images as they lie in a folder."""

import subprocess
import sys

from tests.helpers.training_job import weights, words, write_photos
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.saved import steps_saved


def test_two_workers_train_over_a_folder_to_the_end(tmp_path, cluster):
    output = tmp_path / "run"
    sets = words(write_photos(tmp_path / "photos"), "workers.num_workers=2")
    command = [sys.executable, "jobs/train_refiner.py", "--output", str(output), *sets]
    job = subprocess.run(command, env=cluster.driver, capture_output=True, text=True)
    assert job.returncode == 0 and "2 workers" in job.stdout + job.stderr, job.stdout + job.stderr
    storage = open_storage(str(output))
    assert steps_saved(storage)[-1] == 4 and storage.exists("summary.json")
    assert all(value.isfinite().all() for value in weights(output).values())
