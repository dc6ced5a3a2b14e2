"""The executors: the same rows and the same pixels whether inline, fused or in pools."""

import hashlib
import json
import subprocess
import sys

import pyarrow.parquet as pq
from click.testing import CliRunner

from jobs import generate
from tests.helpers.guards import save_guard
from tests.helpers.scored_run import write_run
from tests.helpers.watched_job import NUM_PAIRS, SETTINGS
from toffee_pipeline.rundir.manifests import committed_shards, data_files
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import open_storage

NUM_COMPARED = 8


def words(output, *settings):
    return ["--output", str(output), *(word for item in (*SETTINGS, *settings) for word in ("--set", item))]


def rows_in(path):
    return pq.read_table(path).to_pylist()


def rows(output):
    """pair id -> verdict and digests of its images, of all committed shards."""
    found = {}
    for folder in ("data", "_rejected"):
        for path in data_files(open_storage(str(output)), folder):
            for row in rows_in(path):
                images = [hashlib.sha256((row[c] or {}).get("bytes") or b"").hexdigest() for c in IMAGE_COLUMNS]
                found[row["pair_id"]] = (row["status"], row["reason"], row["prompt"], images)
    return found


def test_all_executors_write_the_same_rows_and_pixels(tmp_path, cluster, watched):
    few = f"pairs.count={NUM_COMPARED}"  # the first pairs of a plan are the same whatever its length
    here = words(tmp_path / "inline", "placement=inline", few)
    inline = CliRunner().invoke(generate.main, here, catch_exceptions=False)
    assert inline.exit_code == 0, inline.output
    expected = rows(tmp_path / "inline")
    assert len(expected) == NUM_COMPARED
    guard = save_guard(tmp_path / "guard", "Safety: Safe\nCategories: None\n")
    there = words(tmp_path / "pools", "placement=pools", few, f"models.prompt_guard.path={guard}")
    pools = cluster.cli("job", "submit", "--working-dir", ".", "--", "python", "jobs/generate.py", *there)
    assert pools.returncode == 0, pools.stdout + pools.stderr
    for run, said, count in (
        (tmp_path / "pools", pools.stdout, NUM_COMPARED),
        (watched.storage.uri, watched.said, NUM_PAIRS),
    ):
        found = rows(run)
        assert len(found) == count
        assert {pair: found[pair] for pair in expected} == expected
        assert f"{count} planned =" in said
        assert f"{count}/{count} pairs" in said
        assert f"score={count}" in said
    guarded = [row for path in data_files(open_storage(str(tmp_path / "pools")), "_ledger") for row in rows_in(path)]
    assert len(guarded) == NUM_COMPARED and all(row["stage_s"]["check_prompts"] > 0 for row in guarded)


def test_shards_are_computed_in_more_than_one_dataset_and_without_models_none_is_loaded(tmp_path, cluster):
    command = [sys.executable, "tests/helpers/datasets_driver.py", str(tmp_path / "run"), "3", "2"]
    done = subprocess.run(command, env=cluster.driver, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [1] * 3
    assert committed_shards(open_storage(str(tmp_path / "run"))) == set(range(3))
    said = [done.stderr, *(log.read_text() for log in cluster.logs.glob("worker-*.err"))]
    assert len(said) > 1 and "pickled python objects" not in "".join(said)


def test_ray_data_reads_the_accepted_rows_of_a_run(tmp_path, cluster):
    """The directory as it is: not what was rejected, nor the ledger or the index."""
    run = write_run(tmp_path / "run", "output.keep=all")
    code = f"import ray; print(*(row['pair_id'] for row in ray.data.read_parquet({run!r}).take_all()))"
    done = subprocess.run([sys.executable, "-c", code], env=cluster.driver, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdicts = {pair: found[0] for pair, found in rows(run).items()}
    assert {*verdicts.values()} == {"accepted", "rejected"}
    accepted = sorted(pair for pair, verdict in verdicts.items() if verdict == "accepted")
    assert sorted(done.stdout.splitlines()[-1].split()) == accepted
