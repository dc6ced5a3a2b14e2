"""A run that was damaged, repaired and generated again; and one that is being driven."""

import json
from pathlib import Path
from shlex import quote

import pyarrow.parquet as pq
from click.testing import CliRunner

from jobs import verify
from tests.helpers import stub_job
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.manifests import read_manifest
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import Storage, open_storage

SMALL = ("placement=inline", "pairs.count=4", "pairs.per_subject=2", "subjects_per_shard=1")


def run_generate(output, *arguments):
    return CliRunner().invoke(stub_job.main, ["--output", str(output), *arguments], catch_exceptions=False)


def run_verify(*arguments):
    return CliRunner().invoke(verify.main, [str(argument) for argument in arguments], catch_exceptions=False)


def file_of(storage: Storage, shard: int) -> Path:
    files = read_manifest(storage, shard).files
    return Path(storage.path_for(next(file.key for file in files if file.folder == "data")))


def test_a_damaged_shard_is_computed_again_to_the_same_images(tmp_path):
    storage = open_storage(str(tmp_path / "run"))
    result = run_generate(storage.uri, *(word for item in SMALL for word in ("--set", item)))
    assert result.exit_code == 0, result.output
    assert run_verify(storage.uri).exit_code == 0
    columns = ["pair_id", "dino_score", *IMAGE_COLUMNS]
    before = [pq.read_table(file_of(storage, shard), columns=columns) for shard in (0, 1)]
    kept, damaged = file_of(storage, 0), file_of(storage, 1)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    result = run_verify("--repair", storage.uri)
    assert result.exit_code == 1
    assert (
        f"jobs/generate.py --config {quote(f'{storage.uri}/run.json')} --output {quote(storage.uri)}" in result.output
    )
    again = ["--config", f"{storage.uri}/run.json"]
    with Lease(storage, renew_s=0.2):  # a second driver is refused before it computes anything
        result = run_generate(storage.uri, *again)
        assert result.exit_code == 75
        assert "that driver is alive; stop it first" in result.output
    result = run_generate(storage.uri, *again)
    assert result.exit_code == 0, result.output
    assert "resuming: 1 of 2 shards are committed" in result.output
    assert file_of(storage, 0) == kept and file_of(storage, 1) != damaged
    assert [pq.read_table(file_of(storage, shard), columns=columns) for shard in (0, 1)] == before
    assert run_verify(storage.uri).exit_code == 0
    assert json.loads(storage.get("_lease.json"))["released"]


def test_pairs_that_a_machine_failed_are_computed_again_and_the_others_stay(tmp_path, monkeypatch):
    storage = open_storage(str(tmp_path / "run"))
    monkeypatch.setenv("STUB_FAULTS", "black=2")
    assert run_generate(storage.uri, *(word for item in SMALL for word in ("--set", item))).exit_code == 0
    kept = file_of(storage, 0)
    assert run_verify("--repair", storage.uri).output.endswith("no problems\n")  # a failed pair is none
    taken = run_verify("--repair-failed", storage.uri)
    assert taken.exit_code == 0 and "1 shards with failed rows taken back\nthen 1 shards are to compute" in taken.output
    assert not storage.exists("summary.json")
    monkeypatch.delenv("STUB_FAULTS")
    result = run_generate(storage.uri, "--config", f"{storage.uri}/run.json")
    assert "resuming: 1 of 2 shards" in result.output and "4 accepted + 0 rejected + 0 failed" in result.output
    assert file_of(storage, 0) == kept
    assert run_verify("--repair-failed", storage.uri).output.endswith("no problems\n")
