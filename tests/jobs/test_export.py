"""`jobs/export.py`: killed and started again, refused, on S3, and of somebody's own photographs."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from jobs.export import main
from tests.helpers.forked_job import ForkedJob
from tests.helpers.planned_run import write_planned_run
from toffee_pipeline.export.rows import source_type_of
from toffee_pipeline.export.splits import split_of
from toffee_pipeline.storage import LocalStorage, open_storage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Its directory, and its accepted rows by pair id."""
    path = tmp_path_factory.mktemp("run") / "run"
    return path, write_planned_run(LocalStorage(str(path)))


def words(run, output, *more, form="huggingface"):
    return [str(run), "--format", form, "--output", str(output), "--part-mib", "1", *more]


def export(*arguments, **options):
    return CliRunner().invoke(main, words(*arguments, **options), catch_exceptions=False)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ids(folder, form):
    pattern = "train/*.parquet" if form == "huggingface" else "train/*/metadata.parquet"
    return sorted(name for path in folder.glob(pattern) for name in pq.read_table(path)["pair_id"].to_pylist())


@pytest.mark.parametrize("form", ["huggingface", "webdataset", "imagefolder", "subjects200k"])
def test_the_same_run_gives_the_same_bytes(run, tmp_path, form):
    for name in ("one", "two"):
        assert export(run[0], tmp_path / name / "export", form=form).exit_code == 0
    assert contents(tmp_path / "one/export") == contents(tmp_path / "two/export")


def test_a_second_start_writes_no_part_again(run, tmp_path):
    first = export(run[0], tmp_path)
    assert "part 2 of 2" in first.output and f"{len(run[1])} pairs" in first.output
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    again = export(run[0], tmp_path)
    assert again.exit_code == 0 and "part" not in again.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before


@pytest.mark.parametrize("form", ["huggingface", "lance"])
def test_a_lost_file_or_record_is_written_again(run, tmp_path, form):
    assert export(run[0], tmp_path, form=form).exit_code == 0
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    next(path for path in tmp_path.rglob("edit-00000*") if path.is_file()).unlink()
    (tmp_path / "_export/part-00001.json").unlink()
    again = export(run[0], tmp_path, form=form)
    assert "part 1 of 2" in again.output and "part 2 of 2" in again.output
    if form == "lance":
        import lance

        assert sorted(lance.dataset(str(tmp_path / "train.lance")).to_table(["pair_id"])["pair_id"].to_pylist()) == (
            sorted(run[1])
        )
        assert len(list((tmp_path / "train.lance/data").iterdir())) == 4  # none is left over
    else:
        assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before
        assert ids(tmp_path, form) == sorted(run[1])


def test_killed_at_any_point_it_ends_the_same(tmp_path):
    """Killed after each new file that is seen, until one start gets through."""
    write_planned_run(LocalStorage(str(tmp_path / "run")), 48, 128, False)
    whole, killed = tmp_path / "whole" / "export", tmp_path / "killed" / "export"
    assert export(tmp_path / "run", whole).exit_code == 0
    num_kills = 0
    while True:
        seen = sum(path.is_file() for path in killed.rglob("*"))
        job = ForkedJob("jobs/export.py", *words(tmp_path / "run", killed))
        while job.running and (num_kills == 2 or sum(p.is_file() for p in killed.rglob("*")) <= seen):
            time.sleep(0.005)
        job.kill()
        if job.wait()[0] == 0:
            break
        num_kills += 1
    assert num_kills > 0
    LocalStorage(str(killed)).delete_temporary()
    assert contents(killed) == contents(whole)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--license", "mit"), "differs in: license"),
        (("--split", "train=0.5", "--split", "test=0.5"), "differs in: splits"),
    ],
)
def test_another_export_is_refused(run, tmp_path, more, complaint):
    assert export(run[0], tmp_path).exit_code == 0
    before = contents(tmp_path)
    refused = export(run[0], tmp_path, *more)
    assert refused.exit_code == 2 and complaint in refused.output
    assert contents(tmp_path) == before


def test_a_run_that_grew_is_another_export(tmp_path):
    run = LocalStorage(str(tmp_path / "run"))
    write_planned_run(run)
    manifest = sorted((tmp_path / "run/_manifests").iterdir())[-1]
    late = manifest.read_bytes()
    manifest.unlink()
    assert export(tmp_path / "run", tmp_path / "export").exit_code == 0
    manifest.write_bytes(late)
    refused = export(tmp_path / "run", tmp_path / "export")
    assert refused.exit_code == 2 and "files_sha256" in refused.output


@pytest.mark.parametrize("split", ["train", "train=2", "Train=1", "train=0.5"])
def test_a_wrong_split_is_one_line(run, tmp_path, split):
    refused = export(run[0], tmp_path, "--split", split)
    assert refused.exit_code == 2 and refused.output.startswith(f"error: --split {split}: allowed")
    assert not list(tmp_path.iterdir())


def test_what_is_no_run_of_pairs_is_one_line(tmp_path):
    refused = export(tmp_path / "nothing", tmp_path / "export")
    assert refused.exit_code == 2 and "run.json: no such file" in refused.output


def test_lance_without_its_package_is_one_line(run, tmp_path):
    """In a process that cannot import it."""
    code = "import sys; sys.modules['lance'] = None; from jobs.export import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *words(run[0], tmp_path / "export", form="lance")]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 2 and done.stderr.strip().endswith("pip install -e '.[export]'")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("form", ["huggingface", "lance", "imagefolder"])
def test_from_s3_to_s3(s3, tmp_path, form):
    uri, endpoint = s3
    rows = write_planned_run(open_storage(f"{uri}/run", endpoint), 8, 64, True, "subjects_per_shard=1")
    done = export(f"{uri}/run", f"{uri}/{form}", "--endpoint-url", endpoint, form=form)
    assert done.exit_code == 0, done.output
    target = open_storage(f"{uri}/{form}", endpoint)
    for key, _ in target.list():
        target.get_file(key, tmp_path / key, None)
    if form == "lance":
        import lance

        assert lance.dataset(str(tmp_path / "train.lance")).count_rows() == len(rows)
    else:
        assert ids(tmp_path, form) == sorted(rows)
    assert json.loads((tmp_path / "croissant.json").read_text())["distribution"]


def test_splits_follow_the_shares():
    splits = {"test": 0.1, "train": 0.9}
    share = np.mean([split_of(f"s{number:08d}", splits) == "test" for number in range(5000)])
    assert abs(share - 0.1) < 0.015


def test_a_photograph_is_not_marked_as_drawn():
    photographs = frozenset({"subject_image"})
    edit = {"kind": "edit", "reversed_from": None}
    composite = "compositeWithTrainedAlgorithmicMedia"
    assert source_type_of(edit, "input_image", photographs) is None
    assert source_type_of(edit, "target_image", photographs) == composite
    turned = {"kind": "edit", "reversed_from": "p000000001"}
    assert source_type_of(turned, "input_image", photographs) == composite
    assert source_type_of(turned, "target_image", photographs) is None
    generation = {"kind": "generation", "reversed_from": None}
    assert source_type_of(generation, "subject_image", photographs) is None
    for column in ("input_image", "target_image", "mask"):
        assert source_type_of(generation, column, photographs) == "trainedAlgorithmicMedia"
    assert source_type_of(edit, "input_image", frozenset()) == "trainedAlgorithmicMedia"
    both = frozenset({"input_image", "draft_image"})
    assert source_type_of(generation, "draft_image", both) is None
    assert source_type_of(generation, "target_image", both) == "trainedAlgorithmicMedia"


def test_of_a_folder_of_photographs(tmp_path):
    """Split by their files, and the subject's own picture is not marked."""
    for name in ("mug", "cat", "lamp"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / name / "1.png")
    settings = ("subjects.source=folder", f"subjects.path={tmp_path / 'photos'}")
    write_planned_run(LocalStorage(str(tmp_path / "run")), 48, 64, False, *settings)
    done = export(tmp_path / "run", tmp_path / "export", "--split", "a=0.5", "--split", "b=0.49", "--split", "c=0.01")
    assert done.exit_code == 0, done.output
    assert "no pair in c: splits are of subjects" in done.output
    rows = [row for path in (tmp_path / "export").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    splits = {
        path.parent.name: set(pq.read_table(path)["class_name"].to_pylist()) for path in tmp_path.rglob("?/*.parquet")
    }
    assert len(rows) == 48 and sum(map(len, splits.values())) == 3
    for row in rows:
        assert "xmp" not in Image.open(io.BytesIO(row["subject_image"]["bytes"])).info
        assert "xmp" in Image.open(io.BytesIO(row["draft_image"]["bytes"])).info
