"""Starts cluster/one_node.sh on free ports, and stops that Ray and no other; and commands to it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.chaos_run import kill_session
from tests.helpers.startup import STARTUP

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1"
ONE_SPARE_CPU = "fused.num_cpus=5"
"""Of the shared cluster's six, for jobs of one actor without networks, whose shards are all done at once: a process
that writes takes half a CPU, and each that Ray starts costs seconds of a core."""
NAMES = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port")
SPARED = ("--include-log-monitor=false", "--object-store-memory=200000000")
"""A process and memory that no test needs."""
TRIES = 3
"""Ray gives a node 30 s to come up, which a busy machine may miss."""


def free_ports() -> dict[str, int]:
    probes = [socket.create_server((ADDRESS, 0)) for _ in NAMES]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return dict(zip(NAMES, ports, strict=True))


def with_ray(ray_home: Mapping[str, str]) -> dict[str, str]:
    """The environment of `ray_home` as a user's shell has it: `ray` on the path, and not the project for Python."""
    environment = {name: value for name, value in ray_home.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(STARTUP)
    environment["RAY_agent_register_timeout_ms"] = "120000"  # at Ray's 30 s a busy machine's raylet gives up and dies
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment


@contextmanager
def one_node(environment: Mapping[str, str], log: Path, ports: Mapping[str, int], *flags: str) -> Iterator[None]:
    """Runs the script until the context ends."""
    words = [f"--{name}={port}" for name, port in ports.items()]
    for left in reversed(range(TRIES)):
        with log.open("w") as stream:
            head = subprocess.Popen(
                [ROOT / "cluster/one_node.sh", *words, *SPARED, *flags],
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while head.poll() is None and "runtime started" not in log.read_text():
            time.sleep(0.5)
        if head.poll() is None:
            break
        kill_session(head.pid)  # what is left of it would hold the ports, and answer there
        if not left:
            raise RuntimeError(log.read_text())
    try:
        yield
    finally:
        head.terminate()  # --block ends the processes that it started, and no other Ray
        try:
            head.wait(2)
        except subprocess.TimeoutExpired:  # the raylet gives its workers ten seconds, and an autoscaler's nodes keep it
            kill_session(head.pid)
            head.wait()


def listening() -> set[str]:
    """Addresses on which this process, or one that descends from it, takes connections."""
    found, this = set(), psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended
            found |= {each.laddr.ip for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    return {address.removeprefix("::ffff:") for address in found}  # IPv4, in IPv6's clothes


class Cluster:
    """Ray's command line and jobs against it; the token lies in its own home."""

    def __init__(self, environment: Mapping[str, str], ports: Mapping[str, int], temporary: Path) -> None:
        self.port = ports["dashboard-port"]
        session = next(temporary.glob("**/session_latest")).resolve()  # the link moves when another Ray starts there
        self.metrics_endpoints = session / "prom_metrics_service_discovery.json"
        """Ray's list of them, for Prometheus."""
        self.logs = session / "logs"
        self.environment = {
            **environment,
            "RAY_ADDRESS": f"http://127.0.0.1:{self.port}",
            "RAY_AUTH_MODE": "token",
        }
        self.driver = {
            **self.environment,
            "RAY_ADDRESS": f"{ADDRESS}:{ports['port']}",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as a script needs it that is none of our jobs
            "PYTHONPATH": f"{STARTUP}:{ROOT}",
        }
        """Environment of a job that connects to it by itself."""

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["ray", *words]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)
