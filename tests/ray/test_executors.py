"""The executors: the same rows and the same pixels whether inline, fused or in pools."""

import hashlib
import json
import subprocess
import sys

import pyarrow.parquet as pq

from tests.conftest import QUICK
from toffee_pipeline.rundir.commit import committed_shards, data_files
from toffee_pipeline.schema import IMAGE_COLUMNS
from toffee_pipeline.storage import open_storage

SETTINGS = ["subjects.source=renderer", "pairs.count=6", "pairs.per_subject=2", *QUICK]
JOB = [sys.executable, "jobs/generate.py", *(word for item in SETTINGS for word in ("--set", item))]


def generate(output, placement, env=None):
    command = [*JOB, "--output", str(output), "--set", f"placement={placement}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def rows(output):
    """pair id -> verdict and digests of its images, of all committed shards."""
    found = {}
    for folder in ("data", "rejected"):
        for path in data_files(open_storage(str(output)), folder):
            for row in pq.read_table(path).to_pylist():
                images = [hashlib.sha256((row[c] or {}).get("bytes") or b"").hexdigest() for c in IMAGE_COLUMNS]
                found[row["pair_id"]] = (row["status"], row["reason"], row["prompt"], images)
    return found


def test_all_executors_write_the_same_rows_and_pixels(tmp_path, cluster):
    generate(tmp_path / "inline", "inline")
    expected = rows(tmp_path / "inline")
    assert len(expected) == 6
    for placement in ("fused", "pools"):
        done = generate(tmp_path / placement, placement, cluster.driver)
        assert rows(tmp_path / placement) == expected
        assert "6 planned =" in done.stdout
        assert "6/6 pairs" in done.stderr
        assert "score=6" in done.stderr


def test_shards_are_computed_in_more_than_one_dataset_and_without_models_none_is_loaded(tmp_path, cluster):
    command = [sys.executable, "tests/helpers/datasets_driver.py", str(tmp_path / "run"), "5", "2"]
    done = subprocess.run(command, env=cluster.driver, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [1] * 5
    assert committed_shards(open_storage(str(tmp_path / "run"))) == set(range(5))
    assert "pickled python objects" not in done.stderr
