"""A Ceph of one node on the loopback, with its S3 gateway: `python -m tests.helpers.ceph [PYTEST ARGUMENTS]`.

Runs the tests of storage, lease and faults on it. Needs Debian's packages ceph-mon, ceph-mgr, ceph-osd and radosgw. Its
objects lie in memory, its files below a temporary folder, and nothing of it stays.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

TESTS = (
    "tests/storage/test_storage.py",
    "tests/storage/test_s3.py",
    "tests/storage/test_s3_faults.py",
    "tests/rundir/test_lease.py",
)
KEY, SECRET = "testing", "not-a-secret"
WAIT_S = 120.0
CONFIG = """\
[global]
fsid = {fsid}
mon host = {monitor}
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file =
public network = 127.0.0.0/8
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
osd data = {folder}/osd
mon data = {folder}/mon
mgr data = {folder}/mgr
mgr modules =
mgr initial modules =
mon allow pool size one = true
mon allow pool delete = true
mon pg warn min per osd = 0
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw dns name = 127.0.0.1
rgw run sync thread = false
rgw enable usage log = false
rgw enable gc threads = false
rgw enable lc threads = false
"""


class Ceph:
    """The daemons of one node, whose files and logs lie below `folder`. endpoint: of its gateway."""

    def __init__(self, folder: Path) -> None:
        monitor, port = free_ports(2)
        self.folder, self.endpoint, self._port = folder, f"http://127.0.0.1:{port}", port
        self._config = folder / "ceph.conf"
        fsid, address = uuid.uuid4(), f"v1:127.0.0.1:{monitor}"
        self._config.write_text(CONFIG.format(fsid=fsid, monitor=address, folder=folder, port=port))
        self._fsid, self._address = str(fsid), f"[{address}]"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def run(self, program: str, *words: str) -> str:
        """A command to its end; its output. Raises RuntimeError with what it said."""
        command = [program, "--conf", str(self._config), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self) -> None:
        """All daemons, and a user with the bucket's credentials; returns when the gateway answers."""
        for name in ("mon", "mgr", "osd"):
            (self.folder / name).mkdir()
        monmap = str(self.folder / "monmap")
        self.run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", self._address, monmap)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self.daemon("ceph-mon", "-i", "a")
        self.daemon("ceph-mgr", "-i", "a")
        disk = str(uuid.uuid4())
        self.run("ceph", "osd", "new", disk, "0")
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self.daemon("ceph-osd", "-i", "0")
        user = ("--uid", "testing", "--display-name", "testing", "--access-key", KEY, "--secret-key", SECRET)
        self.run("radosgw-admin", "user", "create", *user)
        self.daemon("radosgw", "-n", "client.rgw")
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.2)
        raise RuntimeError(f"no gateway at {self.endpoint} after {WAIT_S:.0f} s")

    def daemon(self, program: str, *words: str) -> None:
        command = [program, "--conf", str(self._config), "--foreground", *words]
        with (self.folder / f"{program}.out").open("ab") as log:
            self._daemons.append(subprocess.Popen(command, stdout=log, stderr=log))

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()


def free_ports(number: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ceph-") as folder:
        ceph = Ceph(Path(folder))
        try:
            ceph.start()
            store = {"TOFFEE_TEST_S3_ENDPOINT": ceph.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
            environment = os.environ | store | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
            command = [sys.executable, "-m", "pytest", *TESTS, *sys.argv[1:]]
            code = subprocess.run(command, env=environment, check=False).returncode
        finally:
            ceph.stop()
    sys.exit(code)


if __name__ == "__main__":
    main()
