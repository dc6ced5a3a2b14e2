"""`make submit` where no Ray answers: one line."""

import os
import subprocess
import sys

import pytest

from tests.helpers.examples import CLUSTER
from tests.helpers.one_node import free_ports

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("token", ["abc", None])
def test_no_ray_at_the_address_is_one_line(tmp_path, token):
    address = f"http://127.0.0.1:{free_ports()['port']}"
    environment = os.environ | {"RAY_ADDRESS": address, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    environment |= {"RAY_AUTH_TOKEN": token} if token else {}
    command = [sys.executable, CLUSTER / "reachable.py"]
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert checked.returncode == 2
    assert checked.stderr.startswith(f"error: no Ray takes jobs at {address}: ") and checked.stderr.count("\n") == 1
    assert "make cluster" in checked.stderr
