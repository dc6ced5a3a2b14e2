"""Following a run from its directory alone: while it runs, interrupted, finished; on local disk and S3."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs.status import main
from tests.helpers import stub_job
from tests.helpers.faulty_s3 import faulty_s3
from tests.helpers.forked_job import ForkedJob
from tests.helpers.s3 import BUCKET, CREDENTIALS, make_bucket, s3_server
from toffee_pipeline.config.load import load_config
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.report.live import LiveReport
from toffee_pipeline.rundir.commit import commit_shard
from toffee_pipeline.rundir.counts import RunCounts, ShardCounts, Summary
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.rundir.layout import LAYOUT_VERSION, SUMMARY, manifest_key
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.rundir.status import WINDOW, Follower, end_after, pace
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.schema.table import SCHEMA_VERSION
from toffee_pipeline.storage import LocalStorage, Storage, open_storage

pytestmark = pytest.mark.slow

SETTINGS = (
    "subjects.source=renderer",
    "placement=inline",
    "pairs.count=12",
    "pairs.per_subject=2",
    "subjects_per_shard=1",
)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class CountingStorage(LocalStorage):
    """Local disk that knows which keys were read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.read: list[str] = []

    def get(self, key: str, *bound: int) -> bytes:
        self.read.append(key)
        return super().get(key, *bound)

    def manifests_read(self) -> list[str]:
        read = [key for key in self.read if key.startswith("_manifests/")]
        self.read.clear()
        return read


def words(*settings):
    return [word for item in settings for word in ("--set", item)]


def status(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def look(*arguments):
    """The numbers of one look."""
    done = status(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def ledger(storage):
    return [row for path in data_files(storage, "_ledger") for row in pq.read_table(path).to_pylist()]


def assert_equals_the_ledger(shown, storage):
    rows, totals = ledger(storage), shown["totals"]
    verdicts = Counter(row["status"] for row in rows)
    assert totals["planned"] == len(rows) == shown["planned"] - shown["left"]
    assert (totals["accepted"], totals["failed"]) == (verdicts["accepted"], verdicts["failed"])
    assert totals["rejected"] == Counter(row["reason"] for row in rows if row["status"] == "rejected")
    for stage in load_config("nano").model_stages:
        seconds = sum(row["stage_s"][stage] for row in rows)
        assert totals["stages"][stage]["seconds"] == pytest.approx(seconds, rel=1e-4, abs=1e-6)
    assert totals["stages"]["score"]["rows"] == len(rows)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was stopped by Ctrl-C in its middle, the command that goes on, and what was seen while it ran."""
    output = tmp_path_factory.mktemp("status") / "run"
    command = ["--output", str(output), *words(*SETTINGS, "output.report_every_s=0.01")]
    job = ForkedJob("tests/helpers/stub_job.py", *command, STUB_SLEEP_S="1")
    storage = CountingStorage(str(output))
    while not storage.exists("_lease.json"):
        assert job.running
        time.sleep(0.1)
    follower = Follower(storage)
    while (seen := follower.look()).totals.shards < 2:
        assert job.running
        time.sleep(0.1)
    job.interrupt()
    assert job.wait()[0] == 130
    return storage, follower, command, seen


def test_a_run_is_followed_while_it_runs_interrupted_and_finished(interrupted):
    storage, follower, command, seen = interrupted
    assert seen.state == "running" and f"process {storage_pid(storage)}" in seen.holder
    assert seen.left_s > 0 and datetime.fromisoformat(seen.expected_end) > datetime.now(UTC) - timedelta(minutes=5)
    # the page was rebuilt while the run went on, and says so
    page = storage.get("report/index.html").decode()
    assert "The run goes on:" in page and "pairs are still to" in page and "<article" in page

    stopped = look(storage.uri)
    assert stopped["state"] == "stopped" and stopped["expected_end"] is None
    assert 2 <= stopped["totals"]["shards"] < stopped["planned_shards"] == 6
    assert_equals_the_ledger(stopped, storage)
    text = status(storage.uri).output
    assert f"{stopped['totals']['shards']} of 6 shards committed" in text
    assert "start jobs/generate.py again to go on" in text

    follower.look()
    before = {manifest_key(shard) for shard in range(6) if storage.exists(manifest_key(shard))}
    storage.read.clear()
    done = CliRunner().invoke(stub_job.main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    finished = follower.look()
    new = storage.manifests_read()
    assert len(new) == len(set(new)) == 6 - len(before) and not before & set(new)
    follower.look()
    assert storage.manifests_read() == []

    assert finished.state == "finished" and finished.left == 0 and finished.expected_end is None
    assert_equals_the_ledger(json.loads(finished.as_json()), storage)
    summary = read(storage, SUMMARY, Summary)
    assert RunCounts(**summary.model_dump(exclude={"version", "elapsed_s", "pairs_per_s"})) == finished.totals
    watched = status(storage.uri, "--watch")  # ends by itself
    assert watched.exit_code == 0 and f"{storage.uri}: finished" in watched.output
    assert "The run goes on" not in storage.get("report/index.html").decode()


def storage_pid(storage: Storage) -> int:
    return json.loads(storage.get("_lease.json"))["pid"]


def test_a_run_on_s3_and_a_price(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as endpoint:
        make_bucket(endpoint)
        uri = f"s3://{BUCKET}/status"
        sets = words(*SETTINGS, "pairs.count=4", f"output.endpoint_url={endpoint}", "price_per_gpu_hour=3")
        # this machine's CPU plays a GPU: the resources that an actor holds are what costs
        sets += words("device=auto", "fused.num_gpus=0.5")
        done = CliRunner().invoke(stub_job.main, ["--output", uri, *sets], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        shown = look(uri, "--endpoint-url", endpoint)
        assert shown["state"] == "finished"
        storage = open_storage(uri, endpoint)
        seconds = sum(stage["seconds"] for stage in shown["totals"]["stages"].values())
        assert shown["gpu_hours"] == pytest.approx(0.5 * seconds / 3600)
        assert shown["cost"] == pytest.approx(3 * shown["gpu_hours"])
        assert shown["cost_per_accepted"] == pytest.approx(shown["cost"] / shown["totals"]["accepted"])
        assert look(uri, "--endpoint-url", endpoint, "--price-per-gpu-hour", 6)["cost"] == pytest.approx(
            2 * shown["cost"]
        )
        sizes = dict(storage.list())
        assert shown["totals"]["num_bytes"] == sum(
            size for key, size in sizes.items() if key.startswith(("data/", "_rejected/", "_ledger/"))
        )
        missing = status(f"s3://{BUCKET}/nowhere", "--endpoint-url", endpoint)
        assert missing.exit_code == 2
        assert missing.output.startswith("error: ") and missing.output.count("\n") == 1


ONE = ShardCounts(planned=1, accepted=1)


def make_run(storage, num_shards):
    """Of one pair per shard; what it plans does not matter here."""
    config = load_config("nano", (f"pairs.count={num_shards}", "pairs.per_subject=1", "subjects_per_shard=1"))
    return claim(storage, GenerationRun.of(config, Plan(config), {}))


def test_a_look_lists_once_and_reads_what_is_new(monkeypatch):
    """A listing is one request per thousand shards: tests/storage/test_s3_faults.py."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as endpoint, faulty_s3(endpoint) as proxy:
        make_bucket(endpoint)
        storage = open_storage(f"s3://{BUCKET}/many", endpoint)
        make_run(storage, 2000)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda shard: commit_shard(storage, shard, {}, ONE), range(8)))
        follower = Follower(open_storage(f"s3://{BUCKET}/many", proxy.endpoint))
        assert follower.look().totals.accepted == 8
        commit_shard(storage, 1500, {}, ONE)
        proxy.requests.clear()
        assert follower.look().totals.accepted == 9
        assert proxy.count("list-type=2") == 1
        assert proxy.count("_manifests/shard-") == 1
        assert len(proxy.requests) <= 1 + 1 + 3  # lease, its start, summary.json


def test_shards_that_a_repair_took_back_count_no_more(tmp_path):
    storage = LocalStorage(str(tmp_path))
    make_run(storage, 3)
    for shard in range(3):
        commit_shard(storage, shard, {}, ONE)
    follower = Follower(storage)
    assert follower.look().state == "unfinished"
    storage.delete(manifest_key(1))
    shown = follower.look()
    assert (shown.state, shown.totals.accepted, shown.left) == ("stopped", 2, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"{", "damaged"),
        (b'{"config": {}}', f"layout version 1, this code reads {LAYOUT_VERSION}"),
        ({"version": 99}, f"layout version 99, this code reads {LAYOUT_VERSION}"),
        ({"schema_version": 99}, f"schema version 99, this code reads {SCHEMA_VERSION}"),
        ({"job": "train_refiner"}, "of a run of jobs/train_refiner.py, not of jobs/generate.py"),
        ({"num_rows": "1"}, "damaged: num_rows: "),
    ],
)
def test_what_is_no_run_is_one_line_and_exit_code_2(tmp_path, content, message):
    if isinstance(content, dict):
        make_run(LocalStorage(str(tmp_path)), 1)
        content = json.dumps(json.loads((tmp_path / "run.json").read_bytes()) | content).encode()
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    done = status(tmp_path)
    assert done.exit_code == 2
    assert message in done.output and done.output.count("\n") == 1


def test_a_damaged_manifest_is_one_line_and_exit_code_2(tmp_path):
    storage = LocalStorage(str(tmp_path))
    make_run(storage, 1)
    storage.put(manifest_key(0), b"{")
    done = status(tmp_path)
    assert done.exit_code == 2 and "shard-000000.json: damaged: " in done.output


def commits(*seconds, pairs=10):
    return [(NOON + timedelta(seconds=s), pairs) for s in seconds]


def test_the_pace_is_that_of_the_commits_since_the_last_start():
    start, now = NOON + timedelta(seconds=1000), NOON + timedelta(seconds=1040)
    night_before = commits(1, 2, 3)
    assert pace([*night_before, *commits(1010, 1020)], start, now) == 20 / 40
    assert pace([*night_before, *commits(1010, 1020)], start, None) == 20 / 20  # nobody works: until the last commit
    assert pace(night_before, start, now) is None
    assert pace([], None, now) is None


def test_the_pace_without_a_known_start_runs_from_the_first_commit():
    assert pace(commits(0, 10, 20), None, None) == 20 / 20
    assert pace(commits(0), None, None) is None
    assert pace(commits(5, 5), None, None) is None


def test_the_pace_of_a_long_run_is_that_of_its_latest_commits():
    slow_then_fast = commits(*range(0, 10 * WINDOW, 10)) + commits(*range(10 * WINDOW, 11 * WINDOW))
    assert pace(slow_then_fast, NOON, None) == pytest.approx(10.0)


def test_an_end_beyond_the_calendar_is_unknown():
    assert end_after(NOON, 60) == "2026-01-02T12:01:00+00:00"
    assert end_after(NOON, None) is None and end_after(NOON, 1e15) is None


def test_a_report_that_cannot_be_written_is_told_and_the_run_goes_on(tmp_path):
    (tmp_path / "report").write_text("a file where the folder should be")
    said: list[str] = []
    totals = Totals()
    totals.add(ONE)
    storage = LocalStorage(str(tmp_path))
    LiveReport(storage, make_run(storage, 2), 1e-9, said.append).update(totals)
    assert len(said) == 1 and said[0].startswith("the report is not rebuilt yet: ")
