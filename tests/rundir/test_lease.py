"""One driver per run directory: refused, released, expired, taken over; on local disk and S3."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import psutil
import pytest

from tests.helpers.s3 import shared_storage
from toffee_pipeline.errors import DamagedFile, LeaseHeld
from toffee_pipeline.rundir.layout import LAYOUT_VERSION, LEASE
from toffee_pipeline.rundir.lease import Lease, LeaseRecord, current_holder
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.storage import Storage, open_storage

pytestmark = pytest.mark.slow

HOLD = """
import sys, time
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.storage import open_storage
with Lease(open_storage(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "run"))
    return shared_storage(tmp_path.name, request.getfixturevalue("endpoint"))


def record(left_s: float = 60.0, **changes: object) -> bytes:
    """Of a driver on another machine."""
    now = datetime.now(UTC)
    made = LeaseRecord(
        host="elsewhere",
        pid=7,
        machine="other",
        token="theirs",
        since=now,
        until=now + timedelta(seconds=left_s),
        lease_s=60.0,
        released=False,
    )
    return made.model_copy(update=changes).encode()


def foreign(storage: Storage, left_s: float, **changes: object) -> None:
    """The lease of a driver on another machine."""
    storage.put(LEASE, record(left_s, **changes))


def holder(storage: Storage) -> LeaseRecord:
    return read(storage, LEASE, LeaseRecord)


def test_a_second_driver_is_refused_while_the_first_is_alive(storage):
    said: list[str] = []
    with Lease(storage, renew_s=0.2) as first:
        with pytest.raises(LeaseHeld) as caught, Lease(storage, say=said.append):
            pass
        first.check()
        assert f"process {os.getpid()} on " in current_holder(storage)
    message = str(caught.value)
    assert f"{storage.uri} is in use by process {os.getpid()} on " in message and "\n" not in message
    assert "since 20" in message and "lease until 20" in message and "stop it first" in message
    assert len(said) == 1 and "waiting up to" in said[0]


def test_a_released_lease_is_taken_at_once_and_in_silence(storage):
    said: list[str] = []
    for _ in range(2):
        with Lease(storage, say=said.append):
            assert current_holder(storage)
        assert current_holder(storage) is None
    with pytest.raises(ZeroDivisionError), Lease(storage, say=said.append):
        raise ZeroDivisionError
    with Lease(storage, say=said.append):
        pass
    assert said == []


def test_no_lease_leaves_no_trace(storage):
    with Lease(storage, 0) as lease:
        lease.check()
        assert list(storage.list()) == []


def test_a_driver_killed_on_this_machine_holds_nobody_up(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
    said: list[str] = []
    storage = open_storage(str(tmp_path))
    with Lease(storage, say=said.append):
        assert holder(storage).pid == os.getpid()
    assert len(said) == 1 and f"taking over from process {process.pid}" in said[0] and "runs no more" in said[0]


def test_a_process_that_only_took_over_the_number_of_a_dead_driver_holds_nobody_up(tmp_path):
    storage = open_storage(str(tmp_path))
    with Lease(storage):
        ours = holder(storage)
    # left by a driver of this machine and this number that last renewed its lease a minute before this process began
    until = datetime.fromtimestamp(psutil.Process().create_time() - 60 + 600, UTC)
    foreign(storage, 0, until=until, lease_s=600.0, pid=ours.pid, machine=ours.machine)
    assert current_holder(storage) is None
    said: list[str] = []
    with Lease(storage, say=said.append):
        assert holder(storage).token != "theirs"
    assert len(said) == 1 and "runs no more" in said[0]


def test_a_driver_that_nobody_reaped_runs_no_more(tmp_path):
    storage = open_storage(str(tmp_path))
    with Lease(storage):
        machine = holder(storage).machine
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and keeps its number
        foreign(storage, 60, pid=ended.pid, machine=machine)
        assert current_holder(storage) is None


def test_a_number_means_nothing_on_another_machine(storage):
    foreign(storage, 60, pid=2**22 + 1)
    assert "on elsewhere" in current_holder(storage)


@pytest.mark.parametrize(("left_s", "message"), [(600, "waiting up to 1 s"), (-5, "its lease has ended")])
def test_the_lease_of_a_dead_machine_ends(storage, left_s, message):
    foreign(storage, left_s, lease_s=1.0)  # also a clock that is far ahead blocks no longer than that
    said: list[str] = []
    with Lease(storage, say=said.append):
        assert holder(storage).token != "theirs"
    assert len(said) == 1 and "process 7 on elsewhere" in said[0] and message in said[0]


def test_of_many_that_find_an_ended_lease_one_takes_it(storage):
    foreign(storage, -1)
    barrier, leases = Barrier(6), [Lease(storage, say=str, renew_s=0.2) for _ in range(6)]

    def race(lease: Lease) -> bool:
        barrier.wait()
        try:
            lease.__enter__()
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(race, leases))
    assert won.count(True) == 1
    leases[won.index(True)].__exit__(None, None, None)
    assert holder(storage).released


def test_a_driver_that_was_overtaken_is_told_and_leaves_the_lease_alone(storage):
    with Lease(storage, renew_s=0.1) as lease:
        lease.check()
        foreign(storage, 60)
        with pytest.raises(LeaseHeld, match="another driver took over, process 7 on elsewhere"):
            for _ in range(600):
                lease.check()
                time.sleep(0.1)
    assert holder(storage).token == "theirs"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        f'{{"version": {LAYOUT_VERSION}, "until": "now"}}'.encode(),
        f'{{"version": {LAYOUT_VERSION}, "host": "here", "pid": 1}}'.encode(),
        record(lease_s=1e18),
        record(lease_s=-1.0),
        record().replace(b'"lease_s": 60.0', b'"lease_s": NaN'),
        record(until=datetime(9999, 12, 31, tzinfo=UTC)),
        record(pid=2**70),
    ],
)
def test_a_damaged_lease_is_one_clear_line(storage, data):
    storage.put(LEASE, data)
    with pytest.raises(DamagedFile, match=f"{LEASE}: damaged.*delete it if no run writes here"), Lease(storage):
        pass
    with pytest.raises(DamagedFile):
        current_holder(storage)
