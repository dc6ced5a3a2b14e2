"""`ray job submit` to a cluster that cluster/one_node.sh started: exit codes, logs, stop, resume."""

import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.one_node import ADDRESS, ONE_SPARE_CPU, ROOT, listening
from toffee_pipeline.rundir.manifests import committed_shards
from toffee_pipeline.storage import open_storage

NUM_SHARDS = 12
SETTINGS = (
    f"pairs.count={NUM_SHARDS}",
    "pairs.per_subject=1",
    "subjects_per_shard=1",
    "fused.num_actors=1",
    ONE_SPARE_CPU,
)
STUBS = ("python", f"{ROOT}/tests/helpers/stub_job.py")
"""The main job without networks; a submitted one with them is test_executors.py's."""
SLOW = ("env", f"PYTHONPATH={ROOT}", "STUB_SLEEP_S=3")
FAST = ("env", f"PYTHONPATH={ROOT}", "STUB_SLEEP_S=0")


def submit(cluster, name, command, output, *settings, wait=True):
    sets = [word for item in (*SETTINGS, *settings) for word in ("--set", item)]
    flags = ["--submission-id", name, *([] if wait else ["--no-wait"])]
    return cluster.cli("job", "submit", *flags, "--", *command, "--output", str(output), *sets)


def test_the_job_api_wants_the_token_and_all_of_ray_listens_on_the_loopback_only(cluster):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}/api/jobs/", timeout=10)
    assert refused.value.code == 401
    assert listening() == {ADDRESS}
    folder = cluster.metrics_endpoints.parents[2]
    token = Path(cluster.environment["HOME"]) / ".ray/auth_token"
    assert folder.name == f"ray-{os.getuid()}"
    assert (folder.stat().st_mode & 0o777, token.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_stopped_job_goes_on_and_exit_codes_and_logs_travel(cluster, tmp_path):
    output = tmp_path / "run"
    storage = open_storage(str(output))
    began = submit(cluster, "first", (*SLOW, *STUBS), output, "placement=fused", wait=False)
    assert began.returncode == 0, began.stderr
    while not committed_shards(storage):
        time.sleep(0.1)
    stopped = cluster.cli("job", "stop", "first")
    assert stopped.returncode == 0, stopped.stderr
    assert "was stopped" in stopped.stdout + stopped.stderr
    done = len(committed_shards(storage))
    assert 1 <= done < NUM_SHARDS
    assert not storage.exists("summary.json")

    resumed = submit(cluster, "second", (*FAST, *STUBS), output, "placement=fused")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    found = re.search(rf"resuming: (\d+) of {NUM_SHARDS} shards are committed", resumed.stdout)
    assert found is not None and int(found[1]) >= done  # the stopped job's actor may have committed one more
    assert f"{NUM_SHARDS} planned = " in resumed.stdout
    assert len(committed_shards(storage)) == NUM_SHARDS


def test_a_job_that_is_refused_fails_with_its_own_words(cluster, tmp_path):
    refused = submit(cluster, "third", ("python", f"{ROOT}/jobs/generate.py"), tmp_path / "run", "pairs.count=-1")
    assert refused.returncode == 1
    assert "exit code 2" in refused.stdout + refused.stderr
    assert "error: pairs.count" in cluster.cli("job", "logs", "third").stdout
