"""jobs/verify.py finds every kind of damage, and --repair takes back just the shard that has it."""

import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from actors.shard import Shard
from actors.write import Write
from jobs import verify
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.rundir.layout import LAYOUT_VERSION, LEASE, SUMMARY, compiled_key, manifest_key
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.manifests import committed_shards, read_manifest
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.rundir.verify import repair
from toffee_pipeline.rundir.verify import verify as verify_run
from toffee_pipeline.schema.table import SCHEMA_VERSION
from toffee_pipeline.storage import LocalStorage, Storage, open_storage

pytestmark = pytest.mark.slow

PNG = encode_png(np.zeros((64, 64, 3), np.uint8))


def run_verify(*arguments):
    return CliRunner().invoke(verify.main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two shards of two accepted pairs and a rejected one each, without models; tests copy it."""
    output = str(tmp_path_factory.mktemp("verify") / "run")
    config = load_config("nano", ("pairs.count=6", "pairs.per_subject=3", "subjects_per_shard=1"))
    plan, storage = Plan(config), open_storage(output)
    claim(storage, GenerationRun.of(config, plan, {}))
    for index in range(len(plan)):
        shard = Shard.from_plan(plan, index)
        for subject in shard.subjects.values():
            subject.image, subject.mask = PNG, encode_mask(np.ones((64, 64), np.bool_))
            subject.depth = encode_depth(np.zeros((64, 64), np.float32))
        for state in shard.pairs:
            state.status, state.input, state.target, state.edit_mask = "accepted", PNG, PNG, subject.mask
            state.scores = {"dino": 0.9, "clip": 0.9}
        shard.pairs[2].target = None
        if index == 0:
            shard.pairs[2].reject("low_dino")
        else:
            shard.pairs[2].fail("dog/0.jpg: truncated", "unreadable")
        Write(config, output)(shard)
    write(storage, SUMMARY, Summary(**total(storage).counts().model_dump(), elapsed_s=1.0, pairs_per_s=6.0))
    return output


@pytest.fixture
def storage(finished, tmp_path) -> Storage:
    shutil.copytree(finished, tmp_path / "run")
    return open_storage(str(tmp_path / "run"))


def file_of(storage: Storage, shard: int, folder: str) -> Path:
    entries = read_manifest(storage, shard).files
    return Path(storage.path_for(next(entry.key for entry in entries if entry.folder == folder)))


def rewrite(folder, change):
    """Damage that the checksum does not see: other rows, and a manifest that agrees with them."""

    def damage(storage: Storage) -> None:
        path, manifest = file_of(storage, 1, folder), json.loads(storage.get(manifest_key(1)))
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows)
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), buffer)
        data = buffer.getvalue()
        path.write_bytes(data)
        entry = next(entry for entry in manifest["files"] if entry["folder"] == folder)
        entry |= {"size_bytes": len(data), "num_rows": len(rows), "sha256": hashlib.sha256(data).hexdigest()}
        storage.put(manifest_key(1), json.dumps(manifest).encode())

    return damage


def flip(storage):
    path = file_of(storage, 1, "data")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(storage):
    path = file_of(storage, 1, "_ledger")
    path.write_bytes(path.read_bytes()[:-100])


def name_elsewhere(storage):
    manifest = json.loads(storage.get(manifest_key(1)))
    manifest["files"][0]["key"] = "../x"
    storage.put(manifest_key(1), json.dumps(manifest).encode())


DAMAGE = {
    "flipped bit": (flip, "data/(edit|generation)-000001-.*its bytes have changed"),
    "truncated": (truncate, "_ledger/pair-000001-.* bytes, the manifest says"),
    "file gone": (lambda storage: file_of(storage, 1, "data").unlink(), "data/(edit|generation)-000001-.*is not there"),
    "manifest cut": (lambda storage: storage.put(manifest_key(1), b'{"ver'), "_manifests/shard-000001.json: damaged"),
    "path out of the run": (name_elsewhere, "_manifests/shard-000001.json: damaged: .*is no file of a shard"),
    "no image": (rewrite("data", lambda rows: rows[0]["mask"].update(bytes=b"no png")), "data/.*p000000003 mask: not"),
    "image missing": (rewrite("data", lambda rows: rows[1].update(target_image=None)), "data/.*p000000004 target_im"),
    "pair lost": (rewrite("data", lambda rows: rows.pop()), "data/.*pairs missing: p000000004"),
    "pair twice": (rewrite("data", lambda rows: rows.append(rows[0])), "data/.*pairs more than once: p000000003"),
    "not as planned": (rewrite("_ledger", lambda rows: rows[0].update(prompt="?")), "_ledger/.*not as planned: prompt"),
    "other verdict": (
        rewrite("data", lambda rows: rows[0].update(clip_score=9)),
        "data/.*as in the ledger: clip_score",
    ),
    "unreadable, but not why": (
        rewrite("_ledger", lambda rows: rows[2].update(error=None)),
        "_ledger/.*p000000005: status 'rejected' with reason 'unreadable' and error None",
    ),
    "more rows than planned": (
        rewrite("data", lambda rows: rows.extend(rows * 100)),
        r"data/.*: the manifest says \d+ rows, the plan has \d+$",
    ),
    "long texts": (
        rewrite("_ledger", lambda rows: [row.update(error="x" * 1_000_000) for row in rows]),
        "_ledger/.*row group 0 holds more than the .* bytes that .* rows may$",
    ),
    "large picture": (
        rewrite("data", lambda rows: rows[0]["mask"].update(bytes=encode_mask(np.ones((2000, 2000), np.bool_)))),
        "data/.*p000000003 mask: 2000 x 2000 px are too many pixels; allowed are 4096$",
    ),
    "counts": (rewrite("_ledger", lambda rows: rows[0].update(status="failed", error="x")), "the manifest counts"),
}


def test_a_sound_run(storage):
    result = run_verify(storage.uri)
    assert result.exit_code == 0
    assert "no problems" in result.output
    assert not storage.exists("_lease.json") or json.loads(storage.get("_lease.json"))["released"]
    assert run_verify("--repair", storage.uri).exit_code == 0
    assert committed_shards(storage) == {0, 1}
    assert storage.exists("summary.json")


def test_compiled_code_beside_the_shards_is_no_problem_and_is_left(storage):
    key = compiled_key(("draft", "refine"), "0123456789abcdef")
    storage.put(key, b"code")
    assert verify_run(storage).problems == [] and repair(storage).problems == []
    assert storage.get(key) == b"code"


def test_the_name_of_a_pack_claims_no_more_shards_than_a_pack_has(storage):
    storage.put("_manifests/pack-000009-99999999999.jsonl", b"")
    assert committed_shards(storage) == {0, 1, *range(9 * 256, 10 * 256)}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_only_its_shard_is_taken_back(storage, tmp_path, name):
    damage, message = DAMAGE[name]
    (tmp_path / "x").write_bytes(b"not of this run")
    damage(storage)
    result = run_verify(storage.uri)
    assert result.exit_code == 1
    assert any(re.search(message, line) for line in result.output.splitlines()), result.output
    assert committed_shards(storage) == {0, 1}
    result = run_verify("--repair", storage.uri)
    assert result.exit_code == 1
    assert "1 damaged shards taken back" in result.output
    assert committed_shards(storage) == {0}
    assert {key.split("-")[1] for key, _ in storage.list() if ".parquet" in key} == {"000000"}
    assert (tmp_path / "x").read_bytes() == b"not of this run"
    result = run_verify(storage.uri)
    assert result.exit_code == 1
    assert "_manifests/shard-000001.json: not there" in result.output


class KilledStorage(LocalStorage):
    """Of a process that is killed when it has deleted one file beside its lease."""

    def delete(self, key: str) -> None:
        super().delete(key)
        if key != LEASE:
            raise KeyboardInterrupt


def test_a_repair_that_is_killed_leaves_no_index_of_shards_that_are_gone(storage):
    flip(storage)
    with pytest.raises(KeyboardInterrupt):
        repair(KilledStorage(storage.uri))
    assert committed_shards(storage) == {0, 1} and not storage.exists(SUMMARY)


def test_orphans_and_a_wrong_summary_alone_take_no_shard_back(storage):
    storage.put("data/edit-000000-dead.parquet", b"x")
    Path(storage.path_for("data"), ".tmp-half").write_bytes(b"half")
    storage.put("data/README.md", b"the user's own")
    summary = json.loads(storage.get("summary.json"))
    storage.put("summary.json", json.dumps(summary | {"accepted": 0}).encode())
    result = run_verify(storage.uri)
    assert result.exit_code == 1
    assert "data/edit-000000-dead.parquet: no manifest names it" in result.output
    assert "data/.tmp-half: half written" in result.output
    assert "summary.json: differs from the ledger in: accepted" in result.output
    assert "repaired: 2 orphans deleted, 0 damaged shards taken back" in run_verify("--repair", storage.uri).output
    assert committed_shards(storage) == {0, 1}
    assert storage.exists("data/README.md") and storage.temporary() == []
    assert "start the run again to finish it" in run_verify(storage.uri).output


def test_a_shard_that_was_not_planned_is_taken_back(storage):
    storage.put(manifest_key(7), storage.get(manifest_key(1)))
    result = run_verify("--repair", storage.uri)
    assert "_manifests/shard-000007.json: the plan has 2 shards" in result.output
    assert committed_shards(storage) == {0, 1}
    assert run_verify(storage.uri).output.count("summary.json: not there") == 1


def test_what_cannot_be_read_is_one_line(storage, tmp_path):
    result = run_verify(tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "run.json: no such file" in result.output
    run = json.loads(storage.get("run.json"))
    for change, message in [
        ({"version": 99}, f"layout version 99, this code reads {LAYOUT_VERSION}"),
        ({"schema_version": 99}, f"schema version 99, this code reads {SCHEMA_VERSION}"),
        ({"plan_hash": "0"}, "plan 0, but its config makes plan"),
        ({"config": run["config"] | {"seeds": 1}}, "damaged: config.seeds: "),
        ({"config": None}, "damaged: config: "),
    ]:
        storage.put("run.json", json.dumps(run | change).encode())
        for arguments in ([storage.uri], [storage.uri, "--repair"]):
            result = run_verify(*arguments)
            assert result.exit_code == 2
            assert result.output.startswith("error: ") and result.output.count("\n") == 1
            assert re.search(message, result.output)
    storage.put("run.json", b"{")
    assert run_verify(storage.uri).exit_code == 2
    assert committed_shards(storage) == {0, 1}


def test_while_a_driver_works_here_nothing_is_repaired(storage):
    with Lease(storage, renew_s=0.2):
        assert run_verify(storage.uri).exit_code == 0
        storage.put("data/edit-000000-dead.parquet", b"x")
        assert "a run is under way, process" in run_verify(storage.uri).output
        result = run_verify("--repair", storage.uri)
        assert result.exit_code == 75
        assert "that driver is alive; stop it first" in result.output
    assert storage.exists("data/edit-000000-dead.parquet")
