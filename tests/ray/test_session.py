"""How a job finds its Ray and its token."""

import os
import subprocess
import sys

from tests.helpers.fork_server import ADDRESS
from tests.helpers.one_node import ROOT, with_ray

SESSION = """
from toffee_pipeline.errors import ToffeeError
from toffee_pipeline.on_ray.session import ray_session
try:
    with ray_session(1):
        import ray
        print(ray.get(ray.remote(num_cpus=0)(lambda: "a task ran").remote()))
except (OSError, ToffeeError) as error:
    print(error)
"""


def session(environment):
    """What a session says whose home cannot be written, for any user."""
    environment = environment | {"HOME": "/proc/no-home"}
    ran = subprocess.run([sys.executable, "-c", SESSION], env=environment, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_ray_of_our_own_needs_no_home(ray_home):
    assert session({name: value for name, value in ray_home.items() if name != "RAY_ADDRESS"}) == "a task ran"


def test_without_the_token_of_another_ray_it_says_what_to_set(ray_home):
    said = session(ray_home | {"RAY_ADDRESS": "127.0.0.1:1"})
    assert (
        said.startswith("RAY_ADDRESS=127.0.0.1:1: no token that this Ray takes; set RAY_AUTH_TOKEN")
        and "\n" not in said
    )


OWN = """
from pathlib import Path
from tests.helpers.one_node import listening
from toffee_pipeline.on_ray.session import ray_session, read_cluster
with ray_session(1):
    import ray
    ray.get(ray.remote(num_cpus=0)(lambda: "a worker, at whose start Ray opens its folders to all").remote())
    folder = Path(ray._private.worker.global_worker.node.get_session_dir_path()).parents[1]
    print(oct(folder.stat().st_mode & 0o777), oct(Path("~/.ray/auth_token").expanduser().stat().st_mode & 0o777))
    print(*listening())
    print([(node.num_cpus, node.num_gpus) for node in read_cluster().most])
"""
BOOTSTRAP = """
max_workers: 64
head_node_type: head
available_node_types: {head: {resources: {CPU: 0}}, gpu: {resources: {CPU: 96, GPU: 8}, max_workers: 64}}
"""
"""What `ray up` leaves on its head node."""


def test_a_ray_of_our_own_is_its_users_alone_and_has_no_nodes_but_its_own(ray_home, tmp_path):
    """By its token, its files and its ports; also on the head of a cluster, whose nodes are not its."""
    (tmp_path / "ray_bootstrap_config.yaml").write_text(BOOTSTRAP)
    environment = {name: value for name, value in ray_home.items() if name not in ("RAY_ADDRESS", ADDRESS)}
    environment["HOME"] = str(tmp_path)
    ran = subprocess.run([sys.executable, "-c", OWN], env=environment, capture_output=True, text=True, timeout=200)
    assert ran.stdout.splitlines() == ["0o700 0o600", "127.0.0.1", "[(1.0, 0.0)]"], ran.stderr


def test_a_folder_of_another_user_is_refused(ray_home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"ray-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    environment = ray_home | {"RAY_TMPDIR": str(tmp_path)}
    said = session({name: value for name, value in environment.items() if name != "RAY_ADDRESS"})
    assert said == f"{tmp_path}/ray-{os.getuid()} is not a folder of yours; set RAY_TMPDIR to one that is"
    script = subprocess.run([ROOT / "cluster/one_node.sh"], env=with_ray(environment), capture_output=True, text=True)
    assert (script.returncode, script.stderr) == (2, said + "\n")
