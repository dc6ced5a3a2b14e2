"""At its end a run says how many of its subjects look alike, wherever they are in it; refiltering drops just those."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from jobs import refilter
from tests.helpers.scored_run import write_run
from toffee_pipeline.rundir import alike
from toffee_pipeline.rundir.alike import find_alike, near_an_earlier, said_of_alike
from toffee_pipeline.rundir.counts import Alike
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.index import read_index
from toffee_pipeline.storage import open_storage

BITS = 30
"""A little below the half, in which two pictures of noise differ: some are near."""
SUBJECTS = ("pairs.count=240", "pairs.per_subject=2", "subjects_per_shard=1", "pairs.edit_fraction=0")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A subject to a shard, so that the guard of a shard sees nothing."""
    output = tmp_path_factory.mktemp("alike") / "run"
    return write_run(output, *SUBJECTS, f"stages.synthesize.min_hash_distance={BITS}", "stages.judge.min_dino=0.2")


def accepted_subjects(uri):
    storage = open_storage(uri)
    rows = read_index(storage, read_pairs(storage).num_rows).rows.to_pylist()
    return {row["subject_id"] for row in rows if row["status"] == "accepted"}


def test_as_many_as_refiltering_drops(run, tmp_path):
    summary = json.loads(Path(run, "summary.json").read_text())
    found = summary["alike"]
    kept = accepted_subjects(run)
    assert (found["bits"], found["compared"], found["not_compared"]) == (BITS, len(kept), 0)
    assert 0 < found["alike"] < len(kept) / 2
    sets = f"min_subject_hash_distance={BITS}", "max_per_subject=1"
    words = [run, "--output", str(tmp_path / "view"), *(word for each in sets for word in ("--set", each))]
    assert CliRunner().invoke(refilter.main, words, catch_exceptions=False).exit_code == 0
    left = json.loads((tmp_path / "view" / "summary.json").read_text())["accepted"]  # a pair for each subject
    assert left == len(kept) - found["alike"]


def test_the_report_says_how_to_drop_them(run):
    summary = json.loads(open_storage(run).get("summary.json"))["alike"]
    told = " ".join(open_storage(run).get("report/index.html").decode().split())
    assert said_of_alike(Alike(**summary)) in told
    assert f"jobs/refilter.py --set min_subject_hash_distance={BITS} drops them" in told


def test_very_large_classes_are_compared_in_part(run, monkeypatch):
    storage = open_storage(run)
    whole = find_alike(storage, read_pairs(storage).config)
    monkeypatch.setattr(alike, "MAX_OF_CLASS", 2)
    part = find_alike(storage, read_pairs(storage).config)
    assert part.not_compared > 0 and part.compared + part.not_compared == whole.compared
    assert part.alike < whole.alike
    assert f"({part.not_compared} more, of large classes, were not compared)" in said_of_alike(part)


def test_a_config_that_lets_them_look_alike_counts_none(nano, run):
    assert find_alike(open_storage(run), nano("stages.synthesize.min_hash_distance=null")) is None


def test_one_that_is_near_to_one_that_was_dropped_stays():
    hashes = np.array([0, 0b11, 0b1111, 0b11111111], np.uint64)
    assert near_an_earlier(hashes, 3).tolist() == [False, True, False, False]
