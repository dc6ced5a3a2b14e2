"""Ray in tests: a home, a temporary directory and a session of its own, stopped afterwards."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from xdist.scheduler import LoadFileScheduling

from toffee_pipeline.config.load import load_config

torch.set_num_threads(1)


class OneRayAtATime(LoadFileScheduling):
    """xdist's `--dist loadfile`, but files whose tests start a Ray go to one worker: two of them at once would only
    wait for each other, and for the timeouts of Ray's start."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return "ray" if starts_ray(self.config.rootpath / file) else file


@functools.cache
def starts_ray(file):
    return "ray_home" in file.read_text()


@pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
def pytest_xdist_make_scheduler(config, log):
    return OneRayAtATime(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not starts_ray(item.path))  # the longest group begins first


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
