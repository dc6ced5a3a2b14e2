"""The S3 storage behind a server that fails: what passes is ridden out, what does not pass is one clear line."""

import hashlib
import random
import subprocess

import pytest

from tests.helpers.faulty_s3 import (
    FaultyS3,
    Rule,
    cut_answer,
    error,
    faulty_s3,
    ignoring,
    lose_answer,
    refuse_swaps,
    refuse_trailers,
    reset,
    slow,
    unquoted_etags,
)
from tests.helpers.s3 import BUCKET, CREDENTIALS, EXTERNAL, shared_storage
from toffee_pipeline.errors import MissingKey, StorageAway, StorageError
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.layout import LEASE
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.manifests import committed_shards, read_manifest
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.storage.patience import tell_waits

pytestmark = pytest.mark.slow

on_moto = pytest.mark.skipif(EXTERNAL is not None, reason="the proxy plays another store, by headers that are signed")
FILES = [ShardFile("data", "edit", b"rows" * 1000, 3), ShardFile("_ledger", "pair", b"more rows" * 1000, 4)]
TRANSIENT = {
    "500": error(500, "InternalError"),
    "503": error(503, "SlowDown"),
    "reset": reset,
    "answer lost": lose_answer,
    "slow": slow,
}


@pytest.fixture(scope="module")
def proxy(endpoint):
    with faulty_s3(endpoint) as proxy:
        yield proxy


@pytest.fixture
def storage(proxy: FaultyS3, tmp_path) -> Storage:
    proxy.rules.clear()
    proxy.requests.clear()
    return shared_storage(tmp_path.name, proxy.endpoint)


def check_committed_once(storage: Storage, shard: int) -> None:
    assert committed_shards(storage) == {shard}
    files = read_manifest(storage, shard).files
    keys = [f"_manifests/shard-{shard:06d}.json", *(file.key for file in files)]
    assert [key for key, _ in storage.list()] == sorted(keys)
    for file in files:
        assert hashlib.sha256(storage.get(file.key)).hexdigest() == file.sha256


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_commit_rides_out_what_passes(proxy, storage, name):
    """In the writing of a file, the decision, a file's move and the manifest."""
    steps = ("/_tries/data/", "/_tries/shard", "(?<!_tries)/data/", "/_manifests/")
    proxy.rules += [Rule(f"^PUT .*{step}", TRANSIENT[name]) for step in steps]
    assert commit_shard(storage, 3, FILES, ShardCounts())
    assert [rule.times for rule in proxy.rules] == [0] * 4
    check_committed_once(storage, 3)


def test_repeated_requests_are_counted(proxy, storage):
    counted = open_storage(storage.uri, proxy.endpoint)  # with a client of its own
    counted.put("data/a", b"1")
    assert counted.num_retries == 0
    proxy.rules += [Rule("^PUT .*data", TRANSIENT["503"], times=2), Rule("^GET .*data", TRANSIENT["500"])]
    counted.put("data/b", b"2")
    assert counted.num_retries == 2
    assert counted.get("data/b") == b"2"
    assert counted.num_retries == 3


@pytest.mark.parametrize("name", [*TRANSIENT, "cut"])
def test_reads_ride_out_what_passes(proxy, storage, name):
    commit_shard(storage, 3, FILES, ShardCounts())
    proxy.rules += [Rule(f"^GET .*{what}", (TRANSIENT | {"cut": cut_answer})[name]) for what in ("data", "_mani")]
    check_committed_once(storage, 3)
    assert [rule.times for rule in proxy.rules] == [0, 0]


def test_a_conflict_of_conditional_writes_is_tried_again(proxy, storage):
    proxy.rules.append(Rule("^PUT", error(409, "ConditionalRequestConflict"), times=2))
    assert storage.put_if_absent("a", b"1")
    proxy.rules.append(Rule("^PUT", error(409, "ConditionalRequestConflict")))
    assert storage.compare_and_swap("a", b"1", b"2")
    assert storage.get("a") == b"2" and proxy.count("^PUT") >= 5


def test_a_body_that_is_always_cut_short_is_one_line(proxy, storage):
    storage.put("a", b"12")
    proxy.rules.append(Rule("^GET", cut_answer, times=-1))
    storage._patience.outage_s = 1.0
    with pytest.raises(StorageError, match=f"^{storage.uri}/a: ") as caught:
        storage.get("a")
    assert "\n" not in str(caught.value) and proxy.count("^GET") > 1


AWAY = {"503": error(503, "SlowDown"), "reset": reset}


@pytest.mark.parametrize("name", AWAY)
def test_a_store_that_comes_back_costs_its_absence(proxy, storage, name):
    """Away for longer than boto3's own tries, of which there are three."""
    heard: list[tuple[str, float]] = []
    waiting = open_storage(storage.uri, proxy.endpoint)  # with a client of its own, whose tries count
    proxy.rules.append(Rule("^PUT", AWAY[name], times=7))
    tell_waits(lambda line, wait_s: heard.append((line, wait_s)))
    try:
        waiting.put("a", b"1")
    finally:
        tell_waits(None)
    assert waiting.get("a") == b"1" and proxy.count("^PUT") == 8
    assert waiting.num_retries == 7 and len(heard) == 2
    assert all(
        line.startswith(f"{storage.uri}: the store has been away for ") and wait_s >= 0 for line, wait_s in heard
    )
    assert not any("Credential" in line for line, _ in heard)


def test_a_listing_goes_on_where_the_store_went_away(proxy, storage):
    for name in "abc":
        storage.put(name, b"1")
    proxy.rules.append(Rule("^GET .*list-type", error(503, "SlowDown"), times=4))
    assert [key for key, _ in storage.list()] == ["a", "b", "c"]


def test_a_move_that_lost_its_answers_has_moved(proxy, storage):
    storage.put("a", b"1")
    proxy.rules.append(Rule("^DELETE", lose_answer, times=4))
    storage.move("a", "b")
    assert [key for key, _ in storage.list()] == ["b"]


def test_a_store_that_stays_away_is_one_line_and_the_next_request_does_not_wait_again(proxy, storage, capfd):
    storage._patience.outage_s = 3.0
    proxy.rules.append(Rule(".", error(503, "SlowDown"), times=-1))
    for _ in range(2):
        with pytest.raises(StorageAway, match=f"^{storage.uri}/a: .*SlowDown") as caught:
            storage.get("a")
        assert "\n" not in str(caught.value)
    asked = len(proxy.requests)
    with pytest.raises(StorageError):
        storage.get("a")
    assert len(proxy.requests) == asked + 3  # boto3's own tries
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"{storage.uri}: the store has been away for 0 s, and may be for 3 s")
    proxy.rules.clear()
    storage.put("a", b"1")
    assert storage._patience._away_since is None


def test_an_endpoint_where_nobody_ever_answered_does_not_pass_by_itself(proxy, storage):
    """It may be misspelt: who repeats a job for as long as it ends with `StorageAway` would never end."""
    storage._patience.outage_s = 0
    proxy.rules.append(Rule(".", reset, times=-1))
    with pytest.raises(StorageError) as caught:
        storage.get("a")
    assert not isinstance(caught.value, StorageAway)
    proxy.rules.clear()
    with pytest.raises(MissingKey):
        storage.get("a")
    proxy.rules.append(Rule(".", reset, times=-1))
    with pytest.raises(StorageAway):
        storage.get("a")


@on_moto
def test_a_store_that_compares_etags_without_quotes_has_its_lease(proxy, storage):
    proxy.rules.append(Rule("^PUT", unquoted_etags, times=-1))
    storage.put("a", b"1")
    assert storage.compare_and_swap("a", b"1", b"2") and storage.get("a") == b"2"
    assert not storage.compare_and_swap("a", b"1", b"3") and storage.get("a") == b"2"
    storage.check("free", swaps=True)
    with Lease(storage, 60) as lease:
        assert lease._renew()
    with Lease(storage, 60):  # it was released
        pass


UNFIT = {
    "If-Match is refused": (refuse_swaps, "If-Match (always refused)", "output.lease_s=0"),
    "If-Match is ignored": (ignoring("If-Match"), "If-Match (ignored)", "output.lease_s=0"),
    "If-None-Match is ignored": (ignoring("If-None-Match"), "If-None-Match", "use another store"),
}


@on_moto
@pytest.mark.parametrize("name", UNFIT)
def test_a_store_without_conditional_puts_is_named_at_the_start(proxy, storage, name):
    action, *words = UNFIT[name]
    proxy.rules.append(Rule("^PUT", action, times=-1))
    with pytest.raises(StorageError) as caught, at_work(storage, print, lambda: "nothing"):
        raise AssertionError("the work began")
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    assert list(storage.list()) == []
    if "lease" in words[1]:
        with at_work(storage, print, lambda: "nothing", lease_s=0):
            pass


def test_puts_over_https_send_their_length(endpoint, tmp_path, monkeypatch):
    certificate = tmp_path / "certificate.pem"
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *name, "-keyout", "-", "-out", "-"]
    certificate.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with faulty_s3(endpoint, certificate) as proxy:
        proxy.rules.append(Rule("^(PUT|POST)", refuse_trailers, times=-1))
        given = open_storage(f"s3://{BUCKET}/{tmp_path.name}", proxy.endpoint)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        for storage in (given, open_storage(given.uri)):
            data = random.Random(0).randbytes(9 * 2**20)
            storage.put("large", data)
            assert storage.get("large") == data
            assert storage.put_if_absent("small", b"1") and storage.compare_and_swap("small", b"1", b"2")
            storage.delete("small")


def test_a_certificate_that_nobody_vouches_for_is_one_line_at_once(endpoint, tmp_path):
    certificate = tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        "-",
        "-out",
        "-",
    ]
    certificate.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    with faulty_s3(endpoint, certificate) as proxy:
        storage = open_storage(f"s3://{BUCKET}/{tmp_path.name}", proxy.endpoint)
        with pytest.raises(StorageError, match="SSL validation failed"):
            storage.get("a")
        assert storage.num_retries <= 2


def test_a_commit_that_lost_its_answer_and_the_race_deletes_its_own_files_only(proxy, storage):
    assert commit_shard(storage, 3, FILES, ShardCounts(planned=1))
    proxy.rules.append(Rule("^PUT .*_manifests", lose_answer))
    assert not commit_shard(storage, 3, FILES, ShardCounts(planned=2))
    assert read_manifest(storage, 3).counts.planned == 1
    check_committed_once(storage, 3)


def test_the_lease_rides_out_lost_answers(proxy, storage):
    proxy.rules.append(Rule(f"^PUT .*{LEASE}", lose_answer, times=1))
    with Lease(storage, 60) as lease:
        proxy.rules.append(Rule(f"^PUT .*{LEASE}", lose_answer, times=1))
        assert lease._renew()
        lease.check()
    assert [rule.times for rule in proxy.rules] == [0, 0]


def test_large_data_goes_in_parts_of_which_one_may_break(proxy, storage):
    data = random.Random(0).randbytes(9 * 2**20)
    proxy.rules.append(Rule("^PUT .*partNumber=1", reset))
    proxy.rules.append(Rule("^PUT .*partNumber=2", error(503, "SlowDown")))
    storage.put("data/large", data)
    assert storage.get("data/large") == data
    assert proxy.count("^PUT .*partNumber") == 4
    assert [rule.times for rule in proxy.rules] == [0, 0]


PERMANENT = {
    "expired": (400, "ExpiredToken", "credentials have expired; renew them"),
    "no bucket": (404, "NoSuchBucket", "no such bucket; check its name"),
    "no permission": (403, "AccessDenied", "its owner has no permission; check that the policy allows"),
    "unknown key": (403, "InvalidAccessKeyId", "access key is unknown; check AWS_PROFILE"),
    "wrong secret": (403, "SignatureDoesNotMatch", "its secret is wrong; check AWS_PROFILE"),
    "wrong clock": (403, "RequestTimeTooSkewed", "this machine's clock is wrong"),
    "untold": (403, "403", "key, secret or permission, the store does not say which"),
}


@pytest.mark.parametrize("name", PERMANENT)
def test_what_does_not_pass_is_one_line_without_credentials(proxy, storage, tmp_path, name):
    status, code, advice = PERMANENT[name]
    proxy.rules.append(Rule(".", error(status, code), times=-1))
    calls = [
        lambda: storage.put("a", b"1"),
        lambda: storage.put("a", b"1" * 9 * 2**20),
        lambda: storage.put_if_absent("a", b"1"),
        lambda: storage.compare_and_swap("a", b"1", b"2"),
        lambda: storage.get("a"),
        lambda: storage.get_file("a", tmp_path / "a", 1),
        lambda: storage.open("a"),
        lambda: storage.move("a", "b"),
        lambda: storage.delete("a"),
        lambda: list(storage.list("a")),
        lambda: commit_shard(storage, 0, FILES, ShardCounts()),
    ]
    for call in calls:
        with pytest.raises(StorageError) as caught:
            call()
        message = str(caught.value)
        assert not isinstance(caught.value, MissingKey | StorageAway)
        assert message.startswith(f"{storage.uri}/") and "\n" not in message
        assert "Credential" not in message
        assert not any(value in message for value in CREDENTIALS.values())
        assert code in message and advice in message  # also where a HEAD was refused, whose answer has no body
    assert len(proxy.requests) <= 2 * len(calls)  # nothing of this is tried again


def test_no_credentials_is_one_line(proxy, storage, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match="/a: no credentials found: check AWS_PROFILE"):
        open_storage(storage.uri, proxy.endpoint).get("a")
