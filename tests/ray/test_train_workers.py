"""Several workers of one training, over images as they lie in a folder."""

import subprocess
import sys

import numpy as np

from tests.helpers.training_job import weights, words
from toffee_pipeline.images import encode_png
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.saved import steps_saved


def test_two_workers_train_over_a_folder_to_the_end(tmp_path, cluster):
    photos, output = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    for number in range(12):
        rgb = np.random.default_rng(number).integers(0, 256, (80, 96, 3), np.uint8)
        (photos / f"{number}.png").write_bytes(encode_png(rgb))
    sets = words(f"data.sources=[{{format: folder, path: {photos}}}]", "workers.num_workers=2")
    command = [sys.executable, "jobs/train_refiner.py", "--output", str(output), *sets]
    job = subprocess.run(command, env=cluster.driver, capture_output=True, text=True)
    assert job.returncode == 0 and "2 workers" in job.stdout + job.stderr, job.stdout + job.stderr
    storage = open_storage(str(output))
    assert steps_saved(storage)[-1] == 4 and storage.exists("summary.json")
    assert all(value.isfinite().all() for value in weights(output).values())
