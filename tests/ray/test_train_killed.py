"""A training job whose worker is killed, and that is stopped: as if nothing had happened."""

import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs import train_refiner
from tests.helpers.training_job import train, weights, words, write_photos
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.saved import steps_saved


def wait_for(condition):
    while not (found := condition()):
        time.sleep(0.3)  # a look at all processes takes some of a core
    return found


def worker_of(folder):
    """The Ray Train worker of the Ray whose temporary folder this is; None while there is none."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            is_worker = "RayTrainWorker" in " ".join(process.cmdline())
            if is_worker and any(file.path.startswith(folder) for file in process.open_files()):  # its log
                return process
    return None


def test_killed_and_stopped_it_ends_where_the_uninterrupted_one_does(tmp_path, ray_home, cluster):
    output, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    storage = open_storage(str(output))
    settings = (write_photos(tmp_path / "photos"), "train.max_steps=12")
    command = [sys.executable, "jobs/train_refiner.py", "--output", str(output), *words(*settings)]
    with (tmp_path / "log").open("w") as log:
        job = subprocess.Popen(command, env=cluster.driver, stdout=log, stderr=log)
    wait_for(lambda: steps_saved(storage) or job.poll() is not None)
    wait_for(lambda: worker_of(ray_home["RAY_TMPDIR"])).kill()
    killed_at = steps_saved(storage)[-1]
    wait_for(lambda: steps_saved(storage)[-1] > killed_at or job.poll() is not None)
    job.send_signal(signal.SIGINT)
    job.wait()
    said, reached = (tmp_path / "log").read_text(), steps_saved(storage)[-1]
    assert job.returncode == 130, said
    assert "lost worker 0" in said
    assert re.search(rf"stopped: step {reached} is saved .* run the same command again", said)
    assert reached < 12 and not storage.exists("summary.json")

    for run in (output, uninterrupted):
        result = train(train_refiner, run, *settings)  # where it runs may change
        assert result.exit_code == 0, result.output
        assert (f"resuming at step {reached}" in result.output) == (run == output)
    expected = weights(uninterrupted)
    for name, value in weights(output).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-4)
    ours, theirs = (
        {p.step: p.value for p in EventAccumulator(str(run / "tensorboard")).Reload().Scalars("loss")}
        for run in (output, uninterrupted)
    )
    assert ours.keys() == theirs.keys()
    assert list(ours.values()) == pytest.approx(list(theirs.values()), abs=1e-3)
