"""The main job as a user runs it: finished, killed, resumed, on odd photographs."""

import json
import re
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from jobs.generate import main
from tests.conftest import QUICK
from tests.helpers import stub_job
from tests.helpers.forked_job import ForkedJob
from toffee_pipeline.images import decode
from toffee_pipeline.nano.world import View, make_toy, render
from toffee_pipeline.rundir.manifests import committed_shards, data_files, read_manifests
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow

SMALL = (
    "placement=inline",
    "subjects.source=renderer",
    "pairs.count=4",
    "pairs.per_subject=2",
    "subjects_per_shard=2",
    *QUICK,
)

NETWORKS = "subjects.source=synthesis"


def generate(output, *overrides):
    sets = [word for item in (*SMALL, *overrides) for word in ("--set", item)]
    return CliRunner().invoke(main, ["--output", str(output), *sets], catch_exceptions=False)


def ledger(output):
    files = data_files(open_storage(str(output)), "_ledger")
    return [row for path in files for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Four pairs of the profile as it is, in which every role is a network."""
    output = tmp_path_factory.mktemp("run") / "a run"
    result = generate(output, NETWORKS)
    assert result.exit_code == 0, result.output
    return output


def test_a_run_explains_itself_and_its_counts_add_up(run_dir):
    run, summary = (json.loads((run_dir / name).read_text()) for name in ("run.json", "summary.json"))
    assert set(run["roles"]) >= {"subject", "detector", "segmenter", "depth", "draft", "refiner", "view"}
    assert all(played_by.startswith("nano weights ") for played_by in run["roles"].values())
    assert run["plan_hash"]
    assert summary["planned"] == 4 == summary["accepted"] + sum(summary["rejected"].values()) + summary["failed"]
    assert summary["stages"]["score"]["rows"] == 4
    rows = ledger(run_dir)
    assert sorted(row["pair_id"] for row in rows) == [f"p{n:09d}" for n in range(4)]
    for row in rows:
        assert (row["reason"] is None) == (row["status"] == "accepted")
        assert row["stage_s"]["score"] > 0
        assert row["dino_score"] is not None
    assert "<html" in (run_dir / "report/index.html").read_text()


def test_running_it_again_does_nothing_and_says_so(run_dir):
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()}
    result = generate(run_dir, NETWORKS)
    assert result.exit_code == 0
    assert "nothing to do" in result.output
    assert before == {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()}


def test_another_config_is_refused_with_the_keys_that_differ(run_dir):
    result = generate(run_dir, NETWORKS, "stages.refine.g=0.123", "stages.judge.min_clip=0.9")
    assert result.exit_code == 2
    assert "stages.refine.g" in result.output
    assert "stages.judge.min_clip" in result.output
    assert generate(run_dir, NETWORKS, "fused.num_actors=3").exit_code == 0  # where work is done is free to change


def test_edit_pairs_are_stored_without_loss(tmp_path):
    result = generate(tmp_path / "run", "pairs.edit_fraction=1", "output.image_format=jpeg", "pairs.count=2")
    assert result.exit_code == 0
    storage = open_storage(str(tmp_path / "run"))
    for path in data_files(storage) + data_files(storage, "_rejected"):
        for row in pq.read_table(path).to_pylist():
            mask = decode(row["mask"]["bytes"])[..., 0] > 0
            pair = [decode(row[column]["bytes"]) for column in ("input_image", "target_image")]
            np.testing.assert_array_equal(pair[0][~mask], pair[1][~mask])


@pytest.mark.slow
def test_after_a_kill_only_what_is_missing_is_computed(tmp_path):
    output = tmp_path / "run"
    sets = [word for item in (*SMALL, "subjects_per_shard=1", "pairs.count=10") for word in ("--set", item)]
    command = ["--output", str(output), *sets]
    job = ForkedJob("tests/helpers/stub_job.py", *command, STUB_SLEEP_S="1")
    storage = open_storage(str(output))
    while not committed_shards(storage):
        assert job.running
        time.sleep(0.05)
    job.kill()
    before = {manifest.shard: manifest for manifest in read_manifests(storage)}
    assert 0 < len(before) < 5
    assert not storage.exists("summary.json")
    done = CliRunner().invoke(stub_job.main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"resuming: {len(before)} of 5 shards" in done.output
    after = {manifest.shard: manifest for manifest in read_manifests(storage)}
    assert len(after) == 5
    assert {shard: after[shard] for shard in before} == before
    assert sorted(row["pair_id"] for row in ledger(output)) == [f"p{n:09d}" for n in range(10)]


def odd_photographs(folder):
    """A user's folder with everything that goes wrong in one. Returns which files can be read."""
    photo = Image.fromarray(render(make_toy("teapot", 5), View(0.3, 0.2), "on the grass", size_px=96).rgb)
    good = folder / "my teapot"
    bad = folder / "bröken"
    good.mkdir(parents=True)
    bad.mkdir()
    photo.save(good / "plain.jpg", quality=95)
    photo.convert("CMYK").save(good / "cmyk.jpg")
    photo.convert("L").save(good / "grey.png")
    photo.convert("P").save(good / "palette.gif")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.rotate(90, expand=True).save(good / "rotated é.jpg", exif=exif)
    (bad / "empty.jpg").write_bytes(b"")
    (bad / "cut.jpg").write_bytes((good / "plain.jpg").read_bytes()[:600])
    (bad / "text.png").write_text("not an image")
    Image.new("1", (20000, 20000)).save(bad / "bomb.png")
    return {f"my teapot/{path.name}" for path in good.iterdir()}


def test_a_folder_of_odd_photographs_never_ends_the_run(tmp_path):
    readable = odd_photographs(tmp_path / "photos")
    output = tmp_path / "run"
    sets = ("subjects.source=folder", f"subjects.path={tmp_path / 'photos'}", "pairs.count=18", "max_failed_fraction=0")
    result = generate(output, *sets)
    assert result.exit_code == 0, result.output
    assert "renderer" not in json.dumps(json.loads((output / "run.json").read_text())["roles"])
    rows = ledger(output)
    assert len(rows) == 18
    broken = {row["source_path"]: row for row in rows if row["reason"] == "unreadable"}
    assert set(broken) == {f"bröken/{name}" for name in ("empty.jpg", "cut.jpg", "text.png", "bomb.png")}
    for path, row in broken.items():
        assert row["status"] == "rejected" and path.split("/")[1] in row["error"]
    why = json.loads((output / "summary.json").read_text())["unreadable"]
    assert list(why) == sorted(broken)
    assert why["bröken/empty.jpg"] == "empty, 0 bytes"
    assert "  8 rejected: 4 files cannot be read\n" in result.output
    assert "    bröken/empty.jpg: empty, 0 bytes\n" in result.output
    assert "    bröken: 0 of 8 accepted, mostly unreadable\n" in result.output
    report = (output / "report/index.html").read_text()
    assert re.search(r"Classes below their quota.*>bröken</th>.*>0</td>.*>8</td>.*>unreadable<", report, re.DOTALL)
    assert "4 files of yours: 8 pairs rejected" in report and "<code>bröken/bomb.png</code>" in report
    for row in rows:
        if row["source_path"] in readable:
            assert row["status"] in ("accepted", "rejected")
            assert row["class_name"] == "my teapot"


def test_a_missing_folder_is_one_line(tmp_path):
    result = generate(tmp_path / "run", "subjects.source=folder", f"subjects.path={tmp_path / 'nowhere'}")
    assert result.exit_code == 2
    assert "nowhere is not a folder" in result.output
