"""The main job while nodes join, die and are added by an autoscaler: they are used, and no pair is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray.util
import yaml

from toffee_pipeline.commit import data_files
from toffee_pipeline.storage import open_storage

ROOT = Path(__file__).parents[2]
NUM_PAIRS = 96
SETTINGS = (
    f"pairs.count={NUM_PAIRS}",
    "subjects_per_shard=1",
    "filter.min_clip=0",
    "placement=fused",
    "fused.num_cpus=1",
    "fused.num_gpus=1",  # of the cluster's, which are none in truth
)

pytestmark = pytest.mark.slow


def drive(folder, env, what, *settings):
    """Runs tests/nodes_driver.py; (what it saw, its output)."""
    marks = folder / "marks"
    marks.mkdir()
    done = subprocess.run(
        [sys.executable, "tests/nodes_driver.py", what, str(folder / "run"), *SETTINGS, *settings],
        cwd=ROOT,
        env={**env, "FAULT_MARKS": str(marks), "FAULT_SLEEP_S": "0.25"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout
    ledgers = data_files(open_storage(str(folder / "run")), "ledger")
    rows = [row for path in ledgers for row in pq.read_table(path).to_pylist()]
    assert sorted(row["pair_id"] for row in rows) == [f"p{n:09d}" for n in range(NUM_PAIRS)]
    assert {row["status"] for row in rows} == {"accepted"}
    seen = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return seen, done.stdout


def test_a_node_that_joins_is_used_and_one_that_is_lost_for_good_does_not_hang_the_job(tmp_path, ray_home):
    seen, output = drive(tmp_path, ray_home, "grow", "stall_s=10")
    assert "1 AllStages" in output
    assert len(seen["before"]) == 1 and seen["worked"] == 2
    assert 0 < seen["committed"] < NUM_PAIRS // 4
    assert "nodes are gone: 3 CPUs and 1 GPUs are left of 4 and 2: planning again" in output


@pytest.fixture
def autoscaling(tmp_path, ray_home):
    """Environment of drivers on a cluster that has a head without CPUs, and whose autoscaler may add two GPU nodes."""
    address = ray.util.get_node_ip_address()
    with socket.create_server((address, 0)) as probe:
        port = probe.getsockname()[1]
    home = Path(ray_home["HOME"])
    config = {
        "cluster_name": "fake",
        "max_workers": 2,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 10,
        "head_node_type": "ray.head.default",
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": f"{address}:{port}",
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {"CPU": 3, "GPU": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
        **dict.fromkeys(("docker", "auth", "file_mounts"), {}),
        **dict.fromkeys(("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands"), []),
        **dict.fromkeys(("setup_commands", "head_setup_commands", "worker_setup_commands"), []),
        **dict.fromkeys(("head_start_ray_commands", "worker_start_ray_commands"), []),
        "file_mounts_sync_continuously": False,
    }
    file = home / "ray_bootstrap_config.yaml"  # where `ray up` leaves it
    file.write_text(yaml.safe_dump(config))
    env = {
        **ray_home,
        "PATH": f"{Path(sys.executable).parent}:{ray_home['PATH']}",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_AUTH_MODE": "token",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "0",  # the provider is of the first version
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "4",
    }
    flags = [f"--port={port}", "--num-cpus=0", "--object-store-memory=200000000", f"--autoscaling-config={file}"]
    log = tmp_path / "head.log"
    with log.open("w") as stream:
        head = subprocess.Popen(
            [ROOT / "cluster/one_node.sh", *flags, "--dashboard-port=0", "--ray-client-server-port=0"],
            env=env,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while "runtime started" not in log.read_text():
            assert head.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield {**env, "RAY_ADDRESS": f"{address}:{port}"}
    finally:
        head.terminate()
        try:
            head.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
        file.unlink()


def test_nodes_are_added_on_demand_and_the_loss_of_one_loses_nothing(tmp_path, autoscaling):
    seen, output = drive(tmp_path, autoscaling, "scale")
    assert "2 AllStages" in output
    assert seen["before"] == [0]
    assert 0 <= seen["committed"] < NUM_PAIRS // 4
    assert seen["worked"] == 3  # both that were added, and the one that took the place of the lost one
