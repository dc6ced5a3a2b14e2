"""The main job while nodes join, die and are added by an autoscaler: they are used, and no pair is lost."""

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.helpers.one_node import ADDRESS, ROOT, free_ports, one_node, with_ray
from tests.helpers.startup import STARTUP
from tests.helpers.stub_stages import picture
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage

NUM_PAIRS = 160
SETTINGS = (f"pairs.count={NUM_PAIRS}", "subjects_per_shard=1", "stages.judge.min_clip=0")
"""GPUs are of the cluster's, which has none in truth."""


def drive(folder, env, what, *settings):
    """Runs tests/helpers/nodes_driver.py; (what it saw, its output)."""
    marks = folder / "marks"
    marks.mkdir()
    code = None
    with (folder / "output").open("w") as stream, suppress(subprocess.TimeoutExpired):
        code = subprocess.run(
            [sys.executable, "tests/helpers/nodes_driver.py", what, str(folder / "run"), *SETTINGS, *settings],
            cwd=ROOT,
            env={**env, "RAY_AUTH_MODE": "token", "STUB_MARKS": str(marks), "STUB_SLEEP_S": "1.2"},
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=400,
        ).returncode
    output = (folder / "output").read_text()
    assert code == 0, f"exit code {code}, marks {sorted(mark.name for mark in marks.iterdir())}\n{output}"
    storage = open_storage(str(folder / "run"))
    ledger, data = (
        [row for path in data_files(storage, kind) for row in pq.read_table(path).to_pylist()]
        for kind in ("_ledger", "data")
    )
    for rows in (ledger, data):
        assert sorted(row["pair_id"] for row in rows) == [f"p{n:09d}" for n in range(NUM_PAIRS)]
    assert {row["status"] for row in ledger} == {"accepted"}
    assert all(row["target_image"]["bytes"] == picture(row["pair_seed"]) for row in data)  # as if undisturbed
    seen = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return seen, output


def test_nodes_that_join_are_used_and_nodes_that_are_lost_for_good_do_not_hang_the_job(tmp_path, ray_home):
    gpus = ("stages.segment.num_gpus=1", "stages.score.num_gpus=1")
    seen, output = drive(
        tmp_path, ray_home, "pools", "placement=pools", *gpus, "stages.score.seconds_per_pair=9", "stall_s=8"
    )
    assert "actors 1 Segment, 2 Score, by configured seconds per pair" in output
    assert 0 < seen["first"] <= seen["second"] < NUM_PAIRS // 4
    # the second loss, just after the Dataset of the first began, leaves no room for the first stage
    assert re.search(r"nodes are gone: 6 CPUs and 2 GPUs are left of \d+ and \d: planning again", output), output
    assert "actors 1 Segment, 1 Score" in output
    counted = [int(count) for count in re.findall(r"score=(\d+)", output)]
    assert counted == sorted(counted)  # who counts is on the driver's node, which none of these is


@pytest.fixture
def autoscaling(tmp_path, ray_home):
    """Environment of drivers on a cluster that has a head without CPUs, and whose autoscaler may add two GPU nodes."""
    ports = free_ports()
    gcs = f"{ADDRESS}:{ports['port']}"
    config = {
        "cluster_name": "fake",
        "max_workers": 2,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 10,
        "head_node_type": "ray.head.default",
        "provider": {
            "type": "external",
            "module": "tests.helpers.fake_nodes.FakeNodes",
            "gcs_address": gcs,
            "launch_multiple": True,
            "use_node_id_as_ip": True,  # all of them have this machine's
            "disable_node_updaters": True,  # nobody can log in there to mend a node: a new one takes its place
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
    file = Path(ray_home["HOME"]) / "ray_bootstrap_config.yaml"  # where `ray up` leaves it
    file.write_text(yaml.safe_dump(config))
    environment = {
        **with_ray(ray_home),
        "PYTHONPATH": f"{STARTUP}:{ROOT}",
        "STUB_MARKS": str(tmp_path / "marks"),
        "STUB_SLEEP_S": "1.2",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as one_node.sh: RAY_ADDRESS is a loopback address
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "10",
        "RAY_enable_autoscaler_v2": "0",  # the provider is of the first version
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "4",
    }
    flags = ("--num-cpus=0", "--include-dashboard=false", f"--autoscaling-config={file}")
    try:
        with one_node(environment, tmp_path / "head.log", ports, *flags):
            yield {**environment, "RAY_ADDRESS": gcs}
    finally:
        file.unlink()


def test_nodes_are_added_on_demand_and_the_loss_of_one_loses_nothing(tmp_path, autoscaling):
    seen, output = drive(tmp_path, autoscaling, "scale", "placement=fused", "fused.num_cpus=1", "fused.num_gpus=1")
    assert "2 AllStages" in output
    assert seen["before"] == [0]
    assert 0 <= seen["committed"] < NUM_PAIRS // 4
    assert seen["worked"] == 3  # both that were added, and the one that took the place of the lost one
