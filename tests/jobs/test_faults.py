"""The main job on a real Ray, with processes that die, hang and run out of memory: no pair lost, none twice."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from toffee_pipeline.commit import committed_shards, data_files
from toffee_pipeline.storage import open_storage

BAD = "p000000005"
NUM_PAIRS = 32
SETTINGS = (f"pairs.count={NUM_PAIRS}", "subjects_per_shard=1", "fused.num_actors=2", "filter.min_clip=0")

pytestmark = pytest.mark.slow


class Job:
    """The fault driver as a process group of its own."""

    def __init__(self, folder: Path, env: dict[str, str], fault: str, **options: str) -> None:
        self.output, self.marks = folder / "run", folder / "marks"
        self.marks.mkdir(exist_ok=True)
        root = env["PYTHONPATH"]
        self.command = [sys.executable, "tests/faulty_driver.py", fault, str(self.output), *SETTINGS]
        self.env = {**env, "PYTHONPATH": root, "FAULT_MARKS": str(self.marks), **options}

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            self.command,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> str:
        job = self.start()
        try:
            output, _ = job.communicate(timeout=240)
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
        assert job.returncode == 0, output
        return output

    @property
    def struck(self) -> bool:
        return (self.marks / "struck").exists()

    def rows(self) -> dict[str, tuple[str, str | None]]:
        """Pair id -> status and error, of every ledger; each pair once."""
        storage = open_storage(str(self.output))
        rows = [row for path in data_files(storage, "ledger") for row in pq.read_table(path).to_pylist()]
        assert sorted(row["pair_id"] for row in rows) == [f"p{n:09d}" for n in range(NUM_PAIRS)]
        return {row["pair_id"]: (row["status"], row["error"]) for row in rows}

    def digests(self) -> dict[str, str]:
        storage = open_storage(str(self.output))
        rows = [row for path in data_files(storage) for row in pq.read_table(path).to_pylist()]
        return {row["pair_id"]: hashlib.sha256(row["target_image"]["bytes"]).hexdigest() for row in rows}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, ray_home: dict[str, str]) -> dict[str, str]:
    job = Job(tmp_path_factory.mktemp("undisturbed"), ray_home, "none")
    job.finish()
    return job.digests()


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_an_actor_that_dies_or_hangs_in_mid_batch_is_replaced(tmp_path, ray_home, undisturbed, fault):
    job = Job(tmp_path, ray_home, fault)
    job.finish()
    assert job.struck
    assert {status for status, _ in job.rows().values()} == {"accepted"}
    assert job.digests() == undisturbed


def test_a_sample_that_always_kills_its_process_fails_alone(tmp_path, ray_home, undisturbed):
    job = Job(tmp_path, ray_home, "poison")
    job.finish()
    rows = job.rows()
    assert rows.pop(BAD) == ("failed", "score: its process died 3 times while it was computed alone")
    assert {status for status, _ in rows.values()} == {"accepted"}
    assert job.digests() == {key: value for key, value in undisturbed.items() if key != BAD}


def test_a_node_that_dies_with_its_actors_loses_nothing(tmp_path, ray_home, undisturbed):
    job = Job(tmp_path, ray_home, "node", FAULT_SLEEP_S="0.5")
    job.finish()
    assert job.struck
    assert {status for status, _ in job.rows().values()} == {"accepted"}
    assert job.digests() == undisturbed


@pytest.mark.parametrize("whole_cluster", [False, True], ids=["driver", "cluster"])
def test_a_killed_job_goes_on_where_it_was(tmp_path, ray_home, undisturbed, whole_cluster):
    job = Job(tmp_path, ray_home, "none", FAULT_SLEEP_S="0.3")
    running = job.start()
    storage = open_storage(str(job.output))
    deadline = time.monotonic() + 120
    while len(committed_shards(storage)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    if whole_cluster:
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.wait()
    before = committed_shards(storage)
    assert 2 <= len(before) < NUM_PAIRS // 4
    resumed = re.search(rf"resuming: (\d+) of {NUM_PAIRS // 4} shards", job.finish())
    assert resumed is not None and int(resumed[1]) >= len(before)  # its actors may commit a last one without the driver
    assert job.digests() == undisturbed
    assert len(job.rows()) == NUM_PAIRS


@pytest.mark.parametrize(
    ("fault", "error"),
    [("memory", "score: out of memory, alone in its micro-batch"), ("black", "score: the model's image is all black")],
)
def test_a_sample_that_fails_on_its_own_spares_its_neighbours(tmp_path, ray_home, undisturbed, fault, error):
    job = Job(tmp_path, {**ray_home}, fault)
    job.command += ["placement=inline"]
    job.finish()
    rows = job.rows()
    assert rows.pop(BAD) == ("failed", error)
    assert {status for status, _ in rows.values()} == {"accepted"}
    assert job.digests() == {key: value for key, value in undisturbed.items() if key != BAD}
