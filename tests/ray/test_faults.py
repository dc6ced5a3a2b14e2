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
from click.testing import CliRunner

from tests.helpers import stub_job
from tests.helpers.fork_server import ADDRESS
from toffee_pipeline.rundir.manifests import committed_shards, data_files, read_manifests
from toffee_pipeline.storage import open_storage

NUM_PAIRS = 32
NUM_SHARDS = 8
SETTINGS = (
    f"pairs.count={NUM_PAIRS}",
    "subjects_per_shard=1",
    "placement=fused",
    "fused.num_actors=2",
    "fused.num_cpus=2.5",  # see ONE_SPARE_CPU
    "stages.score.timeout_s=6",
    "stages.score.batch_size=4",
)


class Job:
    """The main job with stub stages, as a process group of its own. faults: see `stub_stages`."""

    def __init__(self, folder: Path, faults: str = "", *settings: str, sleep_s: float = 0.02) -> None:
        self.output, self.marks = folder / "run", folder / "marks"
        self.marks.mkdir()
        self.words = ["--output", str(self.output)]
        self.words += [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
        self.stubs = {"STUB_FAULTS": faults, "STUB_MARKS": str(self.marks), "STUB_SLEEP_S": str(sleep_s)}

    def start(self, env: dict[str, str]) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "tests/helpers/stub_job.py", *self.words],
            env=env | self.stubs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, env: dict[str, str]) -> str:
        job = self.start(env)
        try:
            output, _ = job.communicate(timeout=240)
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
        assert job.returncode == 0, output
        return output

    def finish_here(self) -> str:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in self.stubs.items():
                environment.setenv(name, value)
            result = CliRunner().invoke(
                stub_job.main, [*self.words, "--set", "placement=inline"], catch_exceptions=False
            )
        assert result.exit_code == 0, result.output
        return result.output

    def kill_after(self, env: dict[str, str], num_commits: int, whole_cluster: bool) -> set[int]:
        """Starts the job and kills it when so many shards are committed; returns what is committed then."""
        running, storage, deadline = self.start(env), open_storage(str(self.output)), time.monotonic() + 120
        while len(committed_shards(storage)) < num_commits and time.monotonic() < deadline:
            time.sleep(0.1)
        if whole_cluster:
            os.killpg(running.pid, signal.SIGKILL)
        else:
            running.kill()
        running.wait()
        return committed_shards(storage)

    def struck(self) -> set[str]:
        return {mark.name for mark in self.marks.iterdir()}

    def rows(self) -> dict[str, tuple[str, str | None]]:
        """Pair id -> status and error, of every ledger; each pair once."""
        storage = open_storage(str(self.output))
        rows = [row for path in data_files(storage, "_ledger") for row in pq.read_table(path).to_pylist()]
        assert sorted(row["pair_id"] for row in rows) == [f"p{n:09d}" for n in range(NUM_PAIRS)]
        return {row["pair_id"]: (row["status"], row["error"]) for row in rows}

    def digests(self) -> dict[str, str]:
        storage = open_storage(str(self.output))
        rows = [row for path in data_files(storage) for row in pq.read_table(path).to_pylist()]
        return {row["pair_id"]: hashlib.sha256(row["target_image"]["bytes"]).hexdigest() for row in rows}

    def failed_alone(self, expected: dict[str, str], undisturbed: dict[str, str]) -> None:
        """Asserts that just these pairs failed, with these errors, and that all others are as they would be."""
        failed = {pair: error for pair, (status, error) in self.rows().items() if status == "failed"}
        assert failed == expected
        assert self.digests() == {pair: digest for pair, digest in undisturbed.items() if pair not in expected}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    job = Job(tmp_path_factory.mktemp("undisturbed"))
    job.finish_here()
    assert {status for status, _ in job.rows().values()} == {"accepted"}
    return job.digests()


def test_actors_that_die_or_hang_are_replaced_and_a_sample_that_always_kills_fails_alone(
    tmp_path, cluster, undisturbed
):
    job = Job(tmp_path, "start=0,kill=5,cuda=9,hang=13,poison=21")
    said = job.finish(cluster.driver)
    assert job.struck() == {"start", "kill", "cuda", "hang"}
    assert re.search(r"AllStages on \S+: cannot start: RuntimeError: CUDA error: uncorrectable ECC error", said), said
    assert re.search(r"AllStages on \S+: CUDA error: an illegal memory access .*; its process is replaced", said), said
    assert "planning again" not in said
    job.failed_alone({"p000000021": "score: its process died 3 times while it was computed alone"}, undisturbed)


def test_a_job_whose_driver_and_then_whole_cluster_is_killed_goes_on_where_it_was(
    tmp_path, ray_home, cluster, undisturbed
):
    job = Job(tmp_path, sleep_s=0.3)
    first = job.kill_after(cluster.driver, 1, whole_cluster=False)
    alone = ray_home | {ADDRESS: ""}  # no fork, whose Ray would be in a process group of its own
    second = job.kill_after(alone, len(first) + 2, whole_cluster=True)  # one may still come from the first's actors
    assert 1 <= len(first) < len(second) < NUM_SHARDS
    storage = open_storage(str(job.output))
    assert not storage.exists("summary.json")
    before = {manifest.shard: manifest for manifest in read_manifests(storage)}
    resumed = re.search(rf"resuming: (\d+) of {NUM_SHARDS} shards", job.finish_here())  # where it runs may change
    assert resumed is not None and int(resumed[1]) >= len(before) >= len(second)
    after = {manifest.shard: manifest for manifest in read_manifests(storage)}
    assert {shard: after[shard] for shard in before} == before
    job.failed_alone({}, undisturbed)


def test_samples_that_fail_on_their_own_spare_their_neighbours(tmp_path, undisturbed):
    job = Job(tmp_path, "memory=5,black=14")
    job.finish_here()
    errors = {
        "p000000005": "score: out of memory, alone in its micro-batch",
        "p000000014": "score: the model's image is all black",
    }
    job.failed_alone(errors, undisturbed)
