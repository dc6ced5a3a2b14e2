"""Ray in tests: a home and a temporary directory of its own, and one cluster for those that only need a Ray."""

import os
import secrets
import tempfile
from pathlib import Path

import pytest

from tests.helpers.fork_server import fork_server
from tests.helpers.one_node import ROOT, Cluster, free_ports, one_node, with_ray
from tests.helpers.startup import STARTUP
from tests.helpers.watched_job import watch_job


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that need the shared cluster come last: while it waits, it takes a tenth of a core."""
    items.sort(key=lambda item: "cluster" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def ray_home():
    """Environment of a private Ray: its token goes to a home of its own, its files to a short temporary path. How
    Ray authenticates it does not say, as a user's."""
    with tempfile.TemporaryDirectory(prefix="toffee-", ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            "HOME": folder,
            "RAY_TMPDIR": folder,
            "RAY_worker_niceness": "0",  # at Ray's 15, a test on the other core starves the workers
            "RAY_prestart_worker_first_driver": "0",  # a worker costs seconds of a core, and most are never used
            "RAY_enable_worker_prestart": "0",
            "RAY_USAGE_STATS_ENABLED": "0",  # an actor of Ray Data's
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # an actor of Ray Train's
            "LOG_NAME_UPDATE_INTERVAL_S": "5",  # ten times Ray's: its log monitor takes a twentieth of a core
            "RAY_idle_worker_killing_time_threshold_ms": "60000",  # at Ray's second each next task starts a new one
            "REPORTER_UPDATE_INTERVAL_MS": "15000",  # of each node's figures; Ray's 5000 takes a tenth of a core
            "PYTHONPATH": f"{STARTUP}:{ROOT}",
        }
        token = Path(folder, ".ray", "auth_token")  # where `ray get-auth-token --generate` leaves it
        token.parent.mkdir()
        token.write_text(secrets.token_hex(32))
        with fork_server(environment, Path(folder)) as found:
            yield found


@pytest.fixture(scope="session")
def cluster(ray_home):
    """A cluster that cluster/one_node.sh started, whose Ray no test ends. Its GPU is there in name alone."""
    environment, ports = with_ray(ray_home), free_ports()
    environment["CUDA_VISIBLE_DEVICES"] = "-1"  # the only one by Ray's count, and none by CUDA's
    environment["RAY_metrics_report_interval_ms"] = "4000"
    environment["RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S"] = "5"  # a killed job's claim on the CPUs
    flags = ("--num-cpus=6", "--num-gpus=1")
    with one_node(environment, Path(ray_home["HOME"]) / "one_node.log", ports, *flags):
        yield Cluster(environment, ports, Path(ray_home["RAY_TMPDIR"]))


@pytest.fixture(scope="session")
def watched(cluster, tmp_path_factory):
    """A finished job on that cluster, and what its endpoints showed; see `watch_job`."""
    return watch_job(cluster, tmp_path_factory.mktemp("watched"))
