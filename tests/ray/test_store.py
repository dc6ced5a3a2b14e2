"""A job on Ray whose store goes away, and whose key expires in mid-run."""

import os
import re
import signal
import subprocess
import sys
import time

from tests.helpers.banks import make_bank
from tests.helpers.faulty_s3 import Rule, error, faulty_s3
from tests.helpers.monitoring import scrape
from tests.helpers.one_node import ONE_SPARE_CPU
from tests.helpers.s3 import CREDENTIALS
from toffee_pipeline.rundir.manifests import committed_shards
from toffee_pipeline.storage import open_storage

NUM_SHARDS = 6
SETTINGS = (
    f"pairs.count={NUM_SHARDS}",
    "pairs.per_subject=1",
    "subjects_per_shard=1",
    "placement=fused",
    "fused.num_actors=1",
    ONE_SPARE_CPU,
)


def test_an_outage_is_said_and_an_expired_key_is_one_line_after_which_the_job_goes_on(tmp_path, ray_home, cluster, s3):
    """On a cluster, and then on a Ray of its own: where it runs may change."""
    uri, endpoint = s3
    with faulty_s3(endpoint) as proxy:
        settings = (*SETTINGS, f"output.endpoint_url={proxy.endpoint}")
        command = [sys.executable, "tests/helpers/stub_job.py", "--output", uri]
        command += [word for setting in settings for word in ("--set", setting)]

        def job(ray: dict[str, str]) -> subprocess.CompletedProcess[str]:
            (tmp_path / "marks").mkdir(exist_ok=True)
            stubs = {"STUB_FAULTS": "", "STUB_MARKS": str(tmp_path / "marks"), "STUB_SLEEP_S": "0.02"}
            started = subprocess.Popen(
                command,
                env=ray | CREDENTIALS | stubs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            try:
                out, err = started.communicate(timeout=280)
            finally:
                if started.poll() is None:
                    os.killpg(started.pid, signal.SIGKILL)
            return subprocess.CompletedProcess(command, started.returncode, out, err)

        storage = open_storage(uri, endpoint)
        proxy.rules.append(Rule("^PUT .*/_tries/_ledger/pair-000003", error(503, "SlowDown"), times=6))
        proxy.rules.append(Rule("^PUT .*/_tries/_ledger/pair-000003", error(400, "ExpiredToken"), times=-1))
        first = job(cluster.driver)
        assert first.returncode == 2, first.stderr
        (line,) = [line for line in first.stderr.splitlines() if line.startswith("error: ")]
        assert f"{uri}/_tries/_ledger/pair-000003" in line and "the credentials have expired; renew them" in line
        assert first.stderr.splitlines()[-1] == line and "Traceback" not in first.stderr
        assert f"{uri}: the store has been away for " in first.stdout
        proxy.rules.clear()
        done = committed_shards(storage)
        assert 3 not in done  # how far the others got is the scheduler's affair
        second = job(ray_home)
        assert second.returncode == 0, second.stderr
        found = re.search(rf"resuming: (\d+) of {NUM_SHARDS} shards are committed", second.stdout)
        assert found is not None and int(found[1]) >= len(done)  # what was decided is finished first
        assert committed_shards(storage) == set(range(NUM_SHARDS))


def test_a_reader_that_waits_for_a_bank_is_said_and_counted(tmp_path, cluster, s3):
    uri, endpoint = s3
    make_bank(f"{uri}/bank", f"output.endpoint_url={endpoint}")
    with faulty_s3(endpoint) as proxy:
        proxy.rules.append(Rule("^GET .*/bank/data/", error(503, "SlowDown"), times=9))
        bank = ("subjects.source=bank", f"subjects.path={uri}/bank", f"subjects.endpoint_url={proxy.endpoint}")
        command = [sys.executable, "tests/helpers/stub_job.py", "--output", str(tmp_path / "run")]
        command += [word for setting in (*SETTINGS, *bank) for word in ("--set", setting)]
        environment = cluster.driver | CREDENTIALS
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        assert proxy.rules[0].times == 0
    assert f"{uri}/bank: the store has been away for " in done.stdout
    waited = ("ray_toffee_storage_wait_seconds_total", frozenset())
    while not scrape(cluster.metrics_endpoints, str(tmp_path / "run")).get(waited):  # by one report interval later
        time.sleep(1)
