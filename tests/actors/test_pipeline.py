"""The executors: the same rows and the same pixels whether inline, fused or in pools; refusals instead of hangs."""

import hashlib
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from actors.pipeline import _pools, check_fits
from toffee_pipeline.cli import load_config
from toffee_pipeline.commit import data_files
from toffee_pipeline.ray_session import PlacementError
from toffee_pipeline.schema import IMAGE_COLUMNS
from toffee_pipeline.storage import open_storage

JOB = [
    sys.executable,
    "jobs/generate.py",
    "--config",
    "nano",
    "--set",
    "pairs.count=6",
    "--set",
    "pairs.per_subject=2",
]


def generate(output, placement, env=None):
    command = [*JOB, "--output", str(output), "--set", f"placement={placement}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
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


@pytest.mark.slow
def test_all_executors_write_the_same_rows_and_pixels(tmp_path, ray_home):
    generate(tmp_path / "inline", "inline")
    expected = rows(tmp_path / "inline")
    assert len(expected) == 6
    for placement in ("fused", "pools"):
        done = generate(tmp_path / placement, placement, ray_home)
        assert rows(tmp_path / placement) == expected
        assert "6 planned =" in done.stdout
        assert "6/6 pairs" in done.stderr
        assert "score=6" in done.stderr


def test_a_cluster_that_is_too_small_is_refused_with_figures():
    config = load_config("sdxl", ("placement=pools",))
    pools = _pools(config, {})
    with pytest.raises(PlacementError, match=r"6 GPUs .* has 1:"):
        check_fits(pools, {"CPU": 64.0, "GPU": 1.0})
    check_fits(pools, {"CPU": 64.0, "GPU": 6.0})


def test_fused_takes_one_actor_per_gpu_and_leaves_cpus_to_read_and_write():
    config = load_config("sdxl")
    (pool,) = _pools(config, {"CPU": 96.0, "GPU": 8.0})
    assert (pool.num_actors, pool.num_gpus) == (8, 1)
    (pool,) = _pools(load_config("nano"), {"CPU": 16.0})
    assert (pool.num_actors, pool.num_cpus) == (14, 1)
