"""The main job on storage that fails, with samples that fail, and twice at once."""

import json
import os
import time

import numpy as np
import pytest
from click.testing import CliRunner

from actors.shard import Shard
from actors.stage import Stage
from jobs import verify
from jobs.generate import generate
from tests.helpers import stub_job
from tests.helpers.faulty_s3 import Rule, error, faulty_s3, lose_answer, reset
from tests.helpers.forked_job import ForkedJob
from tests.helpers.full_disk import files_up_to
from tests.helpers.s3 import BUCKET, CREDENTIALS, EXTERNAL, make_bucket, s3_server
from tests.helpers.stub_stages import STUB_STAGES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import encode_png
from toffee_pipeline.rundir.layout import RUN, SUMMARY
from toffee_pipeline.rundir.manifests import committed_shards
from toffee_pipeline.rundir.verify import verify as verify_run
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow

SMALL = ("placement=inline", "subjects.source=renderer", "pairs.count=4", "pairs.per_subject=2", "subjects_per_shard=1")
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYCANARY",
    "AWS_SECRET_ACCESS_KEY": "canary/secret",
    "AWS_SESSION_TOKEN": "canary+token",
}


def words(*overrides):
    return [word for item in (*SMALL, *overrides) for word in ("--set", item)]


def run_generate(output, *overrides):
    return CliRunner().invoke(stub_job.main, ["--output", str(output), *words(*overrides)], catch_exceptions=False)


@pytest.fixture
def secrets(monkeypatch):
    """Credentials that would be found wherever they leak to."""
    for name, value in (CREDENTIALS | ({} if EXTERNAL else SECRETS)).items():
        monkeypatch.setenv(name, value)
    return [os.environ[name] for name in SECRETS if name in os.environ]


def test_a_run_on_s3_stops_and_goes_on_and_no_secret_is_seen(secrets, tmp_path):
    with s3_server() as url, faulty_s3(url) as proxy:
        make_bucket(url)
        run = f"s3://{BUCKET}/{tmp_path.name}"
        endpoint = f"output.endpoint_url={proxy.endpoint}"
        outputs = []
        for pattern, fault in (("^PUT .*/data/", (403, "AccessDenied")), ("^PUT .*_mani", (400, "ExpiredToken"))):
            proxy.rules[:] = [Rule(pattern, error(*fault), times=-1)]
            result = run_generate(run, endpoint)
            outputs.append(result.output)
            assert result.exit_code == 2
            last = result.output.splitlines()[-1]
            assert last.startswith(f"error: {run}/") and fault[1] in last and "check" in last
        storage = open_storage(run, proxy.endpoint)
        assert committed_shards(storage) == set()
        proxy.rules[:] = [
            Rule("^PUT .*/data/", error(503, "SlowDown")),
            Rule("^PUT .*_manifests", lose_answer),
            Rule("^PUT .*/_ledger/", error(500, "InternalError")),
        ]
        result = run_generate(run, endpoint)
        outputs.append(result.output)
        assert result.exit_code == 0, result.output
        assert [rule.times for rule in proxy.rules] == [0, 0, 0]
        assert json.loads(storage.get("summary.json"))["planned"] == 4
        checked = CliRunner().invoke(verify.main, [run, "--endpoint-url", proxy.endpoint], catch_exceptions=False)
        assert checked.exit_code == 0, checked.output
        result = run_generate(run, f"output.endpoint_url={url}")  # another way to the same run
        assert result.exit_code == 0 and "nothing to do" in result.output
        everything = [storage.get(key) for key, _ in storage.list()] + [text.encode() for text in outputs]
        everything.append(checked.output.encode())
        for secret in secrets:
            assert not any(secret.encode() in data for data in everything)


def test_an_outage_costs_its_time_and_a_longer_one_ends_the_job_which_then_goes_on(s3, monkeypatch):
    run, endpoint = s3
    monkeypatch.setattr("toffee_pipeline.storage.s3.OUTAGE_S", 5.0)
    with faulty_s3(endpoint) as proxy:
        command = (run, f"output.endpoint_url={proxy.endpoint}")
        # boto3 asks three times before it is our turn
        proxy.rules += [Rule("^PUT .*/_tries/_ledger/pair-000000", error(503, "SlowDown"), times=4)]
        proxy.rules += [Rule("^PUT .*/_tries/_ledger/pair-000001", reset, times=-1)]
        longer = run_generate(*command)
        assert longer.exit_code == 75
        (line,) = [line for line in longer.stderr.splitlines() if line.startswith("error: ")]
        assert line.startswith(f"error: {run}/_tries/_ledger/pair-000001") and "Traceback" not in longer.output
        assert f"{run}: the store has been away for " in longer.stderr
        storage = open_storage(run, endpoint)
        assert committed_shards(storage) == {0}
        proxy.rules.clear()
        assert run_generate(*command).exit_code == 0
        assert committed_shards(storage) == {0, 1}


def test_two_drivers_without_a_lease_make_no_duplicate(tmp_path, monkeypatch):
    run, sets = str(tmp_path / "run"), ("pairs.count=8", "output.lease_s=0")
    monkeypatch.setenv("STUB_SLEEP_S", "0.2")
    other = ForkedJob("tests/helpers/stub_job.py", "--output", run, *words(*sets))
    while not open_storage(run).exists(RUN):
        assert other.running
        time.sleep(0.05)
    mine = run_generate(run, *sets)
    codes, errors = zip((mine.exit_code, mine.stderr), other.wait(), strict=True)
    # who is still writing when the other finishes may find its half written file cleared away
    assert 0 in codes and set(codes) <= {0, 2} and not any("Traceback" in error for error in errors), errors
    assert {problem.kind for problem in verify_run(open_storage(run)).problems} <= {"orphan"}


def test_a_full_disk_is_one_clear_line_and_the_run_goes_on_later(tmp_path):
    run = tmp_path / "run"
    with files_up_to(16 * 1024):  # below the size of a shard's images
        done = run_generate(run)
    assert done.exit_code == 2, done.output
    assert f"error: [Errno 27] File too large: '{run}/" in done.stderr and "Traceback" not in done.stderr
    storage = open_storage(str(run))
    assert committed_shards(storage) == set()
    assert storage.temporary() == []
    assert run_generate(run).exit_code == 0
    assert verify_run(storage).problems == []


def test_a_run_that_goes_wrong_is_stopped_and_keeps_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_FAULTS", ",".join(f"black={number}" for number in range(80)))
    run, sets = tmp_path / "run", ("pairs.count=80", "subjects_per_shard=5")
    result = run_generate(run, *sets)
    assert result.exit_code == 2
    last = result.output.splitlines()[-1]
    assert last.startswith("error: stopped: 50 of 50 pairs failed") and "max_failed_fraction=0.05" in last
    assert "Most frequent: 50 x score: the model's image is all black" in last
    storage = open_storage(str(run))
    assert len(committed_shards(storage)) == 5
    assert json.loads(storage.get("_lease.json"))["released"]
    result = run_generate(run, *sets, "max_failed_fraction=1")
    assert result.exit_code == 0
    assert "resuming: 5 of 8 shards" in result.output
    assert verify_run(storage).problems == []


def test_a_small_run_above_the_limit_ends_with_it_and_is_finished_by_the_next_start(tmp_path, monkeypatch):
    """Of two subjects nothing is plain before they are done."""
    monkeypatch.setenv("STUB_FAULTS", ",".join(f"black={number}" for number in range(30)))
    run, sets = tmp_path / "run", ("pairs.count=60", "pairs.per_subject=30")
    result = run_generate(run, *sets)
    assert result.exit_code == 2 and "error: stopped: 30 of 60 pairs failed" in result.output.splitlines()[-1]
    storage = open_storage(str(run))
    assert len(committed_shards(storage)) == 2 and not storage.exists(SUMMARY)
    assert run_generate(run, *sets).exit_code == 0
    assert json.loads(storage.get(SUMMARY))["failed"] == 30


class SeesNoFile(Stage):
    """As on a machine whose folder is another one than the driver's."""

    name = "synthesize"

    def process(self, shard: Shard) -> None:
        for state in shard.open_subjects():
            state.fail(f"synthesize: /there/{state.subject.path}: no such file", "unreadable")
        shard.spread_failures()


def test_a_run_that_read_no_file_ends_with_one_line_and_keeps_what_it_has(tmp_path):
    photos, run = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    for number in range(4):
        (photos / f"{number}.png").write_bytes(encode_png(np.full((64, 64, 3), number, np.uint8)))
    sets = (*SMALL, "subjects.source=folder", f"subjects.path={photos}", "pairs.count=8")
    with pytest.raises(PlanError, match=r"no image below .* can be read: 0.png: no such file; .*; and 1 more$"):
        generate(load_config("nano", sets), str(run), stages={"synthesize": SeesNoFile, **STUB_STAGES})
    summary = json.loads((run / "summary.json").read_text())
    assert summary["rejected"] == {"unreadable": 8}
    assert summary["unreadable"] == {f"{number}.png": "no such file" for number in range(4)}
    assert verify_run(open_storage(str(run))).problems == []
