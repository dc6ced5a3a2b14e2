"""`jobs/refilter.py --materialize`: many small shards of a run become few, with the same rows, exactly once."""

import json
import shlex
import shutil
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs import refilter, status, verify
from tests.helpers.forked_job import ForkedJob
from tests.helpers.scored_run import write_run
from tests.helpers.training import make_config, make_reader
from toffee_pipeline.config.train import RunSource, ToffeeNetTraining
from toffee_pipeline.images import decode
from toffee_pipeline.report.listing import Listing
from toffee_pipeline.report.wanted import Wanted
from toffee_pipeline.rundir import materialize
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED
from toffee_pipeline.rundir.manifests import data_files, read_manifests
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.sources.run import Run

pytestmark = pytest.mark.slow

LOOSER = ("filter.min_dino=0.2", "filter.min_clip=0.1", "filter.max_dino=0.8")
THREE_TOGETHER = 18
"""Rows of three shards."""


def call(job, *words):
    done = CliRunner().invoke(job.main, [str(word) for word in words], catch_exceptions=False)
    return done.exit_code, done.output


def words(run, output, *settings):
    return [run, "--output", output, "--materialize", *(word for item in settings for word in ("--set", item))]


def write_view(run, output, *settings):
    code, said = call(refilter, *words(run, output, *settings))
    assert code == 0, said
    return str(output)


def rows_of(uri, *folders):
    """Rows by id, each once."""
    files = [file for folder in folders for file in data_files(open_storage(uri), folder)]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert len({row["pair_id"] for row in rows}) == len(rows)
    return {row["pair_id"]: row for row in rows}


def contents(uri):
    """The number of each shard's files, what they are and what they hold, whatever the attempts are called."""
    return [
        (manifest.shard, [(file.folder, file.num_rows, file.sha256) for file in manifest.files], manifest.counts)
        for manifest in read_manifests(open_storage(uri))
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Eight shards of six pairs; images of both verdicts are kept."""
    return write_run(tmp_path_factory.mktemp("run") / "run", "output.keep=scored", "subjects_per_shard=1")


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    return write_view(run, tmp_path_factory.mktemp("whole") / "view", *LOOSER)


def test_many_small_shards_are_one_with_a_file_of_each_kind(run, whole):
    assert len(data_files(open_storage(run), LEDGER)) == 8
    assert [Path(file).name.split("-")[0] for file in data_files(open_storage(whole))] == ["generation", "edit"]
    assert len(data_files(open_storage(whole), LEDGER)) == len(list(read_manifests(open_storage(whole)))) == 1


def test_its_rows_are_the_runs_in_every_column_but_the_verdict(run, whole):
    made, now = rows_of(run, DATA, REJECTED), rows_of(whole, DATA)
    taken_back = {name for name in now if made[name]["status"] == "rejected"}
    assert taken_back and len(now) < len(made)
    for name, row in now.items():
        assert row == made[name] | {"status": "accepted", "reason": None}
    before, after = rows_of(run, LEDGER), rows_of(whole, LEDGER)
    assert list(before) == list(after)  # in the plan's order
    for name, row in after.items():
        assert row == before[name] | {"status": row["status"], "reason": row["reason"]}
    assert {name for name, row in after.items() if row["status"] == "accepted"} == set(now)


def test_it_says_what_it_was_made_from(run, whole):
    made, now = (read_run(open_storage(uri)) for uri in (run, whole))
    assert (now.source, now.plan_hash, now.num_rows, now.num_shards) == (run, made.plan_hash, made.num_rows, 1)


def test_every_reader_takes_it(run, whole, tmp_path):
    accepted = sorted(rows_of(whole, DATA))
    code, said = call(verify, whole)
    assert code == 0, said
    shown = json.loads(call(status, whole, "--json")[1])
    assert (shown["state"], shown["planned_shards"], shown["totals"]["accepted"]) == ("finished", 1, len(accepted))
    opened = datasets.load_dataset(whole, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(opened["pair_id"]) == accepted and opened[0]["target_image"].size == (64, 64)
    ledger = datasets.load_dataset(whole, "ledger", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(ledger) == 48
    found = Listing(open_storage(whole)).after(Wanted({}), (0, 30), 100)
    assert [each.row["id"] for each in found.rows] == [f"p{number:09d}" for number in range(30, 48)]


def test_training_reads_it(whole):
    rows = rows_of(whole, DATA)
    source = Run(RunSource(format="run", path=whole))
    (shard,) = source.files()
    for record in source.read(shard):
        expected = decode(rows.pop(record.key)["target_image"]["bytes"])
        np.testing.assert_array_equal(record.images["target"](), expected)
    assert not rows
    reader = make_reader(make_config(ToffeeNetTraining, f"data.sources=[{{format: run, path: '{whole}'}}]"))
    assert reader.reads_per_epoch == 1
    assert sorted(text for block in reader.blocks(0) for text in block["text"]) == sorted(
        row["prompt"] for row in rows_of(whole, DATA).values()
    )


def test_a_shard_has_as_many_rows_as_may_be_and_the_last_one_the_rest(run, tmp_path, monkeypatch):
    monkeypatch.setattr(materialize, "MAX_ROWS", THREE_TOGETHER + 5)
    uri = write_view(run, tmp_path / "view", *LOOSER)
    assert [pq.read_metadata(file).num_rows for file in data_files(open_storage(uri), LEDGER)] == [18, 18, 12]
    assert call(verify, uri)[0] == 0


def test_large_shards_stay_what_they_are(run, tmp_path, monkeypatch):
    sizes = [sum(file.size_bytes for file in each.files) for each in read_manifests(open_storage(run))]
    monkeypatch.setattr(materialize, "MAX_BYTES", min(sizes))
    uri = write_view(run, tmp_path / "view", *LOOSER)
    assert [each.counts.planned for each in read_manifests(open_storage(uri))] == [6] * 8
    assert call(verify, uri)[0] == 0


def test_row_groups_are_filled_across_shards(tmp_path):
    run = write_run(
        tmp_path / "run",
        "pairs.count=360",
        "pairs.edit_fraction=0",
        "stages.judge.min_clip=0",
        "stages.judge.min_dino=0",
    )
    (file,) = data_files(open_storage(write_view(run, tmp_path / "view")))
    metadata = pq.read_metadata(file)
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sum(sizes) > 300 and set(sizes[:-1]) == {PAIRS.row_group_size} and sizes[-1] <= PAIRS.row_group_size


def test_killed_again_and_again_it_ends_the_same(run, tmp_path, monkeypatch):
    monkeypatch.setattr(materialize, "MAX_ROWS", THREE_TOGETHER)  # also in the forks
    whole, killed = write_view(run, tmp_path / "whole", *LOOSER), tmp_path / "killed"
    for place in ("_tries/data/*.part", "data/*.parquet", "_manifests/shard-000000.json"):
        job = ForkedJob("jobs/refilter.py", *words(run, killed, *LOOSER))
        while job.running and not any(killed.glob(place)):
            time.sleep(0.001)
        job.kill()
        assert any(killed.glob(place)) and not (killed / "summary.json").exists()
    first = (killed / "_manifests/shard-000000.json").read_bytes()
    write_view(run, killed, *LOOSER)
    assert (killed / "_manifests/shard-000000.json").read_bytes() == first
    assert contents(str(killed)) == contents(whole)
    code, said = call(verify, killed)
    assert code == 0, said


def test_a_damaged_shard_is_taken_back_and_made_again_alone(run, tmp_path, monkeypatch):
    """Also where a run would be written in other shards by now."""
    monkeypatch.setattr(materialize, "MAX_ROWS", THREE_TOGETHER)
    uri = write_view(run, tmp_path / "view", *LOOSER, "max_per_category=fewest")
    before, files = contents(uri), data_files(open_storage(uri))
    Path(files[0]).write_bytes(b"damaged")
    assert call(verify, uri)[0] == 1
    code, said = call(verify, uri, "--repair")
    assert code == 1, said
    monkeypatch.undo()
    command = shlex.split(said.splitlines()[-1].partition("are to compute: ")[2])
    assert command[:2] == ["python", "jobs/refilter.py"]
    assert call(refilter, *command[2:])[0] == 0
    assert contents(uri) == before and files[2:] == data_files(open_storage(uri))[2:]
    assert call(verify, uri)[0] == 0


def test_a_run_json_that_would_have_all_of_a_large_plan_in_memory_is_refused(whole, tmp_path):
    shutil.copytree(whole, copy := tmp_path / "view")
    made = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(made | {"shards_together": 10**9}))
    code, said = call(verify, copy)
    assert code == 2 and "shards_together: 1000000000 of 6 rows, allowed are 100000 rows" in said
