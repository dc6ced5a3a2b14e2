"""Ray in tests: a home, a temporary directory and a session of its own, stopped afterwards."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from toffee_pipeline.cli import load_config

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """For `--dist loadgroup`: a file's tests stay together, and those that start a Ray run one after another, from the
    beginning: two of them at once would only wait for each other, and for the timeouts of Ray's start."""
    with_ray = {item.path for item in items if "ray_home" in item.fixturenames}
    items.sort(key=lambda item: item.path not in with_ray)
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if item.path in with_ray else item.path.stem))


@pytest.fixture(scope="session")
def ray_home():
    """Environment of a private Ray: its token goes to a home of its own, its files to a short temporary path."""
    with tempfile.TemporaryDirectory(prefix="toffee-", ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            "HOME": folder,
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_worker_niceness": "0",  # at Ray's 15, a test on the other core starves the workers
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        ray = Path(sys.executable).with_name("ray")
        subprocess.run([ray, "get-auth-token", "--generate"], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield environment


@pytest.fixture
def nano():
    """Makes a nano config of few pairs of the renderer's subjects: `nano("pairs.count=8")`."""

    def make(*overrides: str):
        return load_config("nano", ("placement=inline", "subjects.source=renderer", "pairs.count=8", *overrides))

    return make
