"""Storage and shard commits, on local disk and on a real S3 server process."""

import hashlib
import io
import json
import os
import pickle
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier

import pytest

from tests.helpers.s3 import BUCKET, CREDENTIALS, shared_storage
from toffee_pipeline.errors import DamagedFile, MissingKey, OtherVersion, StorageError
from toffee_pipeline.rundir.commit import ShardFile, commit_shard, delete_orphans, settle_all
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.rundir.description import RunHeader
from toffee_pipeline.rundir.layout import LAYOUT_VERSION, manifest_key
from toffee_pipeline.rundir.manifests import committed_shards, data_files, read_manifest, read_manifests
from toffee_pipeline.storage import LocalStorage, Storage, open_storage

NONE = ShardCounts()
RUN = RunHeader.now("generate")
FILES = [
    ShardFile("data", "edit", b"rows", 3),
    ShardFile("data", "generation", b"other rows", 2),
    ShardFile("_rejected", "pair", b"", 0),
    ShardFile("_ledger", "pair", b"more rows", 6),
]
BAD_KEYS = ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", ".", "a\\b", "a\0b", "a\nb", "data/.tmp-1"]

RACE = """
import pickle, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts
files = [ShardFile("data", "edit", b"rows", 1), ShardFile("_ledger", "pair", b"rows", 1)]
storage, barrier = pickle.loads(bytes.fromhex(sys.argv[1])), Barrier(4)
storage.exists("anything")  # which makes its client
print("ready", flush=True)
sys.stdin.readline()
def race(_):
    barrier.wait()
    return commit_shard(storage, 5, files, ShardCounts())
with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(race, range(4))))
"""


class Killed(BaseException):
    """Nothing handles it, as nothing handles SIGKILL."""


def kill(*_: object) -> None:
    raise Killed


def start(code: str, storage: Storage) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, pickle.dumps(storage).hex()]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def keys(storage: Storage) -> list[str]:
    return [key for key, _ in storage.list()]


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "deep" / "run"))
    return shared_storage(f"{tmp_path.name}/run", request.getfixturevalue("endpoint"))


class TestStorage:
    def test_put_get_replace_delete(self, storage):
        assert not storage.exists("a/b.bin")
        storage.put("a/b.bin", b"one")
        storage.put("a/b.bin", b"two")
        assert storage.get("a/b.bin") == b"two" and storage.exists("a/b.bin")
        assert not storage.exists("a")
        storage.delete("a/b.bin")
        storage.delete("a/b.bin")
        assert keys(storage) == []

    @pytest.mark.parametrize("key", ["none", "a", "a/b/c"])
    def test_missing_key(self, storage, key):
        storage.put("a/b", b"1")
        with pytest.raises(MissingKey, match=f"/{key}: no such key$"):
            storage.get(key)
        with pytest.raises(KeyError):
            storage.get(key)

    def test_put_if_absent_keeps_the_first(self, storage):
        assert storage.put_if_absent("m/x", b"one")
        assert not storage.put_if_absent("m/x", b"two")
        assert storage.get("m/x") == b"one"

    def test_compare_and_swap_replaces_only_what_was_seen(self, storage):
        assert not storage.compare_and_swap("m/x", b"", b"one") and not storage.exists("m/x")
        storage.put("m/x", b"one")
        assert storage.compare_and_swap("m/x", b"one", b"two")
        assert not storage.compare_and_swap("m/x", b"one", b"three")
        assert storage.get("m/x") == b"two"

    def test_of_eight_that_swap_one_does(self, storage):
        storage.put("m/x", b"old")
        barrier = Barrier(8)

        def race(number: int) -> bool:
            barrier.wait()
            return storage.compare_and_swap("m/x", b"old", str(number).encode())

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(race, range(8)))
        assert wins.count(True) == 1 and storage.get("m/x") == str(wins.index(True)).encode()
        assert keys(storage) == ["m/x"]

    @pytest.mark.parametrize("num_bytes", [0, 9 * 2**20], ids=["empty", "several parts"])
    def test_files_come_back_as_they_were(self, storage, tmp_path, num_bytes):
        data = random.Random(0).randbytes(num_bytes)
        (tmp_path / "weights.bin").write_bytes(data)
        storage.put("a/weights", b"old")
        storage.put_file("a/weights", tmp_path / "weights.bin")
        assert list(storage.list()) == [("a/weights", num_bytes)] and storage.get("a/weights") == data
        storage.put("b", data)
        assert storage.get("b") == data
        storage.delete("b")
        storage.get_file("a/weights", tmp_path / "new folder" / "back.bin", num_bytes)
        assert (tmp_path / "new folder" / "back.bin").read_bytes() == data
        assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["back.bin"]

    def test_a_file_is_read_in_parts(self, storage):
        data = bytes(range(256)) * 40
        storage.put("a/b.bin", data)
        with storage.open("a/b.bin") as file:
            assert file.seek(0, io.SEEK_END) == len(data) and file.read() == b""
            assert file.seek(-300, io.SEEK_END) == len(data) - 300
            assert file.read(10) == data[-300:-290] and file.tell() == len(data) - 290
            assert file.seek(5) == 5 and file.read() == data[5:]
        storage.put("empty", b"")
        with storage.open("empty") as file:
            assert file.read() == b""
        with pytest.raises(MissingKey, match="none"):
            storage.open("none")

    @pytest.mark.parametrize("key", ["none", "a", "a/b/c"])
    def test_get_file_of_a_missing_key_leaves_the_old_file(self, storage, tmp_path, key):
        storage.put("a/b", b"1")
        path = tmp_path / "own.bin"
        path.write_bytes(b"old")
        with pytest.raises(MissingKey, match=f"/{key}: no such key$"):
            storage.get_file(key, path, None)
        assert path.read_bytes() == b"old"

    def test_put_file_that_is_not_there_writes_nothing(self, storage, tmp_path):
        with pytest.raises(FileNotFoundError, match="weights.bin"):
            storage.put_file("a", tmp_path / "weights.bin")
        assert keys(storage) == []

    def test_list_is_sorted_by_string_prefix_and_skips_what_is_no_key(self, storage):
        assert list(storage.list("data/")) == []
        for key in ("data/b", "data/a/z", "data/a.b", "database/x", "log"):
            storage.put(key, key.encode())
        if isinstance(storage, LocalStorage):
            Path(storage.path_for("data/a"), ".tmp-dead").write_bytes(b"left by a killed writer")
        else:
            storage._client().put_object(Bucket=BUCKET, Key=f"{storage._prefix}data/", Body=b"")
        assert list(storage.list("data/")) == [("data/a.b", 8), ("data/a/z", 8), ("data/b", 6)]
        assert [key for key, _ in storage.list("data")] == ["data/a.b", "data/a/z", "data/b", "database/x"]
        assert [key for key, _ in storage.list("data/a")] == ["data/a.b", "data/a/z"]
        assert len(keys(storage)) == 5

    def test_keys_that_could_leave_the_run_are_refused(self, storage):
        calls = [storage.get, storage.exists, storage.delete, storage.path_for, storage.list]
        calls += [lambda key: storage.put(key, b""), lambda key: storage.put_if_absent(key, b"")]
        calls += [
            lambda key: storage.put_file(key, Path(__file__)),
            lambda key: storage.get_file(key, Path("never"), 1),
        ]
        for key in BAD_KEYS:
            for call in calls:
                if call != storage.list or key not in ("", "a/"):  # prefixes may be these
                    with pytest.raises(StorageError, match="allowed is a relative path"):
                        call(key)

    def test_pickle_keeps_address_only(self, storage):
        storage.put("x", b"1")
        pickled = pickle.dumps(storage)
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode() not in pickled
        assert pickle.loads(pickled).get("x") == b"1"

    def test_move(self, storage):
        storage.put("tries/x", b"1")
        storage.put("data/y", b"old")
        storage.move("tries/x", "data/y")
        assert keys(storage) == ["data/y"] and storage.get("data/y") == b"1"
        with pytest.raises(MissingKey, match="tries/x: no such key"):
            storage.move("tries/x", "data/y")
        assert storage.get("data/y") == b"1"

    def test_path_for(self, storage):
        storage.put("data/x", b"1")
        path = storage.path_for("data/x")
        assert path == f"{storage.uri}/data/x"
        assert path.startswith(f"s3://{BUCKET}/") or Path(path).read_bytes() == b"1"


class TestCommit:
    def test_commit_and_read_back(self, storage):
        counts = ShardCounts(
            planned=4, accepted=3, rejected={"no_mask": 1}, stages={"score": StageFigures(seconds=0.5)}
        )
        assert commit_shard(storage, 3, FILES, counts)
        manifest = read_manifest(storage, 3)
        assert (manifest.shard, manifest.counts) == (3, counts)
        edit, generation, ledger = manifest.files
        assert (edit.folder, edit.size_bytes, edit.num_rows) == ("data", 4, 3)
        assert edit.sha256 == hashlib.sha256(storage.get(edit.key)).hexdigest()
        assert keys(storage) == [ledger.key, "_manifests/shard-000003.json", edit.key, generation.key]
        assert [key.rpartition("-")[0] for key in keys(storage)[2:]] == ["data/edit-000003", "data/generation-000003"]
        assert data_files(storage) == [storage.path_for(edit.key), storage.path_for(generation.key)]
        assert data_files(storage, "_rejected") == []

    def test_a_local_file_is_committed_as_its_bytes_are(self, storage, tmp_path):
        data = b"rows" * 3_000_000  # in parts on S3
        (tmp_path / "local").write_bytes(data)
        assert commit_shard(storage, 3, [ShardFile("data", "edit", tmp_path / "local", 7)], NONE)
        (file,) = read_manifest(storage, 3).files
        assert storage.get(file.key) == data and file.sha256 == hashlib.sha256(data).hexdigest()
        assert (file.size_bytes, file.num_rows) == (len(data), 7)
        assert keys(storage) == ["_manifests/shard-000003.json", file.key]

    def test_shard_without_rows_is_committed(self, storage):
        assert commit_shard(storage, 0, [ShardFile("data", "edit", b"empty table", 0)], NONE)
        assert keys(storage) == ["_manifests/shard-000000.json"]
        assert committed_shards(storage) == {0} and data_files(storage) == []

    def test_manifests_come_in_shard_order(self, storage):
        assert committed_shards(storage) == set()
        for shard in (1_000_000, 12, 999_999):
            commit_shard(storage, shard, FILES, NONE)
        assert committed_shards(storage) == {12, 999_999, 1_000_000}
        assert [manifest.shard for manifest in read_manifests(storage)] == [12, 999_999, 1_000_000]
        edits = [path.rpartition("edit-")[2][:7] for path in data_files(storage) if "edit-" in path]
        assert edits == ["000012-", "999999-", "1000000"]

    def test_second_commit_loses_and_leaves_nothing(self, storage):
        assert commit_shard(storage, 3, FILES, ShardCounts(planned=1))
        before = keys(storage)
        assert not commit_shard(storage, 3, FILES, ShardCounts(planned=2))
        assert keys(storage) == before and read_manifest(storage, 3).counts.planned == 1

    def test_eight_racers_one_wins(self, storage):
        """Four in a process of their own, four here."""
        other, barrier = start(RACE, storage), Barrier(4)
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        files = [ShardFile("data", "edit", b"rows", 1), ShardFile("_ledger", "pair", b"rows", 1)]

        def race(_: int) -> bool:
            barrier.wait()
            return commit_shard(storage, 5, files, NONE)

        with ThreadPoolExecutor(4) as pool:
            wins = sum(pool.map(race, range(4)))
        assert wins + int(other.communicate(timeout=60)[0]) == 1
        named = [file.key for file in read_manifest(storage, 5).files]
        assert keys(storage) == sorted([manifest_key(5), *named])
        assert {storage.get(key) for key in named} == {b"rows"}

    def test_racing_threads_on_the_conditional_put(self, storage):
        barrier = Barrier(8)

        def race(number: int) -> bool:
            barrier.wait()
            return storage.put_if_absent("_manifests/x", str(number).encode())

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(race, range(8)))
        assert wins.count(True) == 1 and storage.get("_manifests/x") == str(wins.index(True)).encode()

    @pytest.mark.parametrize(
        ("storage", "steps"),
        [*(("local", steps) for steps in range(10)), *(("s3", steps) for steps in (2, 4, 6, 8))],
        indirect=["storage"],
    )
    def test_killed_at_any_step(self, storage, monkeypatch, steps):
        """Whatever the killed one had done, readers see all or nothing of it, and the next try makes it whole."""
        commit_shard(storage, 6, FILES, NONE)
        storage.put("data/README.md", b"the user's own")
        before, left = set(keys(storage)), steps
        with monkeypatch.context() as patch:
            for name in ("put", "put_if_absent", "move", "delete"):
                step = getattr(type(storage), name)

                def counted(*args: object, step: object = step) -> object:
                    nonlocal left
                    if not left:
                        raise Killed
                    left -= 1
                    return step(*args)

                patch.setattr(type(storage), name, counted)
            # 3 tries, the decision, 3 moves, the manifest, the decision's end
            with pytest.raises(Killed) if steps < 9 else nullcontext():
                commit_shard(storage, 7, FILES, ShardCounts(planned=1))
        seen = [key for key in keys(storage) if re.fullmatch(r"data/.*-000007-.*\.parquet", key)]
        committed = 7 in committed_shards(storage)
        assert len(seen) <= 2 and (not committed or len(seen) == 2)
        assert commit_shard(storage, 7, FILES, ShardCounts(planned=2)) == (steps < 4)
        named = [file.key for file in read_manifest(storage, 7).files]
        if steps < 4:
            delete_orphans(storage, RUN)
        assert set(keys(storage)) - before == {manifest_key(7), *named}
        assert set(seen) <= set(named)

    def test_what_was_decided_is_finished_and_the_rest_deleted(self, storage, monkeypatch):
        commit_shard(storage, 6, FILES, NONE)
        before = keys(storage)
        with monkeypatch.context() as patch:
            patch.setattr(type(storage), "put_if_absent", kill)  # nothing is decided
            with pytest.raises(Killed):
                commit_shard(storage, 7, FILES, NONE)
        left = sorted(set(keys(storage)) - set(before))
        assert [key.rpartition("-")[0] for key in left] == [
            "_tries/_ledger/pair-000007",
            "_tries/data/edit-000007",
            "_tries/data/generation-000007",
        ]
        with monkeypatch.context() as patch:
            patch.setattr(type(storage), "move", kill)  # all is decided
            with pytest.raises(Killed):
                commit_shard(storage, 8, FILES, ShardCounts(planned=3))
        assert committed_shards(storage) == {6}
        settle_all(storage)
        assert committed_shards(storage) == {6, 8} and read_manifest(storage, 8).counts.planned == 3
        assert delete_orphans(storage, RUN) == left
        assert delete_orphans(storage, RUN) == []
        assert {int(key.split("-")[1][:6]) for key in keys(storage)} == {6, 8}

    def test_own_manifest_behind_a_lost_answer_is_a_win(self, storage, monkeypatch):
        put_if_absent = type(storage).put_if_absent

        def answer_lost(self: Storage, key: str, data: bytes) -> bool:
            put_if_absent(self, key, data)
            return put_if_absent(self, key, data)  # what a retry of the client sees

        monkeypatch.setattr(type(storage), "put_if_absent", answer_lost)
        assert commit_shard(storage, 3, FILES, NONE)
        assert all(storage.exists(file.key) for file in read_manifest(storage, 3).files)

    @pytest.mark.parametrize(
        ("shard", "files", "message"),
        [
            (-1, FILES, "shard -1: allowed is an integer of at least 0"),
            ("../1", FILES, "allowed is an integer"),
            (1, [ShardFile("../x", "edit", b"1", 1)], "shard 1: folder '../x': allowed are data, _rejected, _ledger"),
            (1, [ShardFile("data", "edit", b"", 1)], "shard 1: data: a file needs bytes"),
        ],
    )
    def test_bad_input_writes_nothing(self, storage, shard, files, message):
        with pytest.raises(StorageError, match=message):
            commit_shard(storage, shard, files, NONE)
        assert keys(storage) == []

    @pytest.mark.parametrize("storage", ["local"], indirect=True)
    def test_manifest_that_points_elsewhere_is_refused(self, storage):
        commit_shard(storage, 3, FILES, NONE)
        good = json.loads(storage.get(manifest_key(3)))
        for change, error, message in [
            ({"files": [good["files"][0] | {"key": "../../secret.parquet"}]}, DamagedFile, "is no file of a shard"),
            ({"files": [good["files"][0] | {"key": "data/edit-000004-aa.parquet"}]}, DamagedFile, "of shard 3"),
            ({"files": [good["files"][0] | {"key": 1}]}, DamagedFile, "files.0.key: "),
            ({"files": None}, DamagedFile, "files: "),
            ({"shard": 4}, DamagedFile, "of shard 4"),
            ({"counts": good["counts"] | {"planned": -1}}, DamagedFile, "counts.planned: "),
            ({"version": 1}, OtherVersion, f"layout version 1, this code reads {LAYOUT_VERSION}"),
        ]:
            storage.put(manifest_key(3), json.dumps(good | change).encode())
            for call in (data_files, lambda storage: delete_orphans(storage, RUN)):
                with pytest.raises(error, match=f"shard-000003.json: .*{message}"):
                    call(storage)
        storage.put(manifest_key(3), f'{{"version": {LAYOUT_VERSION}, "sha'.encode())
        with pytest.raises(DamagedFile, match="damaged: Invalid JSON"):
            data_files(storage)
        assert all(storage.exists(file["key"]) for file in good["files"])


class TestOpen:
    def test_local_forms(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for uri in ("run x", "./run x", str(tmp_path / "run x"), f"file://{tmp_path}/run%20x"):
            assert open_storage(uri).uri == str(tmp_path / "run x")
        assert list(tmp_path.iterdir()) == []

    def test_s3_forms(self):
        assert open_storage("s3://bucket").path_for("a/b") == "s3://bucket/a/b"
        assert open_storage("S3://bucket/p/q/").uri == "s3://bucket/p/q"

    @pytest.mark.parametrize(
        "uri", ["gs://bucket/x", "s3:/bucket/x", "http://user:hunter2@host/x", "file://host/x", "", "a\0b"]
    )
    def test_unknown_scheme(self, uri):
        with pytest.raises(StorageError, match="allowed.* s3://bucket/prefix") as caught:
            open_storage(uri)
        assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "uri",
        ["s3://key:hunter2@bucket/x", "s3://", "s3://B/x", "s3://bucket/../x", "s3://bucket/x?secret_key=hunter2"],
    )
    def test_bad_s3_address_is_not_repeated(self, uri):
        with pytest.raises(StorageError, match="^run directory 's3://") as caught:
            open_storage(uri)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("url", ["http://host:9000", "https://host", "http://[::1]:9000/", "http://host/"])
    def test_endpoint_is_a_host_and_may_end_in_a_slash(self, url):
        assert open_storage("s3://bucket/x", url).endpoint_url == url

    def test_a_bucket_in_the_endpoint_is_told_where_it_belongs(self):
        with pytest.raises(StorageError, match="path.* the bucket belongs into s3://bucket/prefix") as caught:
            open_storage("s3://bucket/x", "http://host:9000/bucket")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("url", ["http://me:hunter2@host:1", "host:9000", "ftp://host", "http://h?hunter2", ""])
    def test_bad_endpoint_is_not_repeated(self, url):
        with pytest.raises(StorageError, match="S3 endpoint: allowed is http") as caught:
            open_storage("s3://bucket/x", url)
        assert "hunter2" not in str(caught.value)


class TestLocal:
    def test_failed_write_keeps_the_old_file_and_no_temporary(self, tmp_path, monkeypatch):
        storage = open_storage(str(tmp_path))
        storage.put("a", b"old")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

        def put_file(key: str, data: bytes) -> None:
            (source := tmp_path / "source").write_bytes(data)
            try:
                storage.put_file(key, source)
            finally:
                source.unlink()

        for put in (storage.put, storage.put_if_absent, put_file):
            with pytest.raises(OSError, match="No space left"):
                put("a", b"new")
        assert [path.name for path in tmp_path.iterdir()] == ["a"] and storage.get("a") == b"old"

    def test_delete_orphans_clears_temporary_files(self, tmp_path):
        commit_shard(storage := open_storage(str(tmp_path)), 1, FILES, NONE)
        (tmp_path / "data" / ".tmp-dead").write_bytes(b"half")
        assert delete_orphans(storage, RUN) == []
        assert sorted(path.name[:5] for path in (tmp_path / "data").iterdir()) == ["edit-", "gener"]

    def test_unreadable_folder_is_an_error_not_an_empty_list(self, tmp_path, monkeypatch):
        storage = open_storage(str(tmp_path))

        def refuse(path: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no mode stops
        with pytest.raises(PermissionError):
            list(storage.list())
