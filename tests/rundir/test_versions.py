"""A run directory whose layout is not known: every job refuses it in one line, and leaves it as it is."""

import json

import pytest
from click.testing import CliRunner

from jobs import generate, status, train_refiner, verify
from toffee_pipeline.errors import OtherVersion
from toffee_pipeline.rundir.dataset import load_pairs
from toffee_pipeline.rundir.layout import LAYOUT_VERSION
from toffee_pipeline.storage import LocalStorage

JOBS = {
    "generate": (generate.main, ["--output", "RUN", "--set", "pairs.count=2", "--set", "placement=inline"]),
    "train": (train_refiner.main, ["--output", "RUN", "--set", "workers.placement=inline"]),
    "verify": (verify.main, ["RUN"]),
    "repair": (verify.main, ["RUN", "--repair"]),
    "status": (status.main, ["RUN"]),
}
SHARDS = {
    # where another layout keeps its manifests, this code does not find them: all data would be orphans to it
    "_commits/000000.json": b"{}",
    "data/edit-000000-0123456789ab.parquet": b"rows",
    "_ledger/pair-000000-0123456789ab.parquet": b"rows",
    "data/.tmp-half": b"half written",
}


def make_run(folder, description):
    files = SHARDS if description is None else {"run.json": json.dumps(description).encode(), **SHARDS}
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"config": {}, "plan_hash": "x", "schema_version": 1}, "layout version 1, this code reads"),
        ({"version": LAYOUT_VERSION - 1}, f"layout version {LAYOUT_VERSION - 1}, this code reads"),
        ({"version": LAYOUT_VERSION + 1, "layout": "any"}, f"layout version {LAYOUT_VERSION + 1}, this code reads"),
    ],
    ids=["first", "before", "later"],
)
def test_another_version_is_refused_and_nothing_is_touched(tmp_path, job, description, message):
    make_run(tmp_path, description)
    before = content(tmp_path)
    command, arguments = JOBS[job]
    done = CliRunner().invoke(command, [str(tmp_path) if word == "RUN" else word for word in arguments])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"error: {tmp_path}/run.json: {message} {LAYOUT_VERSION}"
    assert content(tmp_path) == before


@pytest.mark.parametrize("job", ["generate", "repair"])
def test_shards_without_a_description_are_nobodys_orphans(tmp_path, job):
    make_run(tmp_path, None)
    before = content(tmp_path)
    command, arguments = JOBS[job]
    done = CliRunner().invoke(command, [str(tmp_path) if word == "RUN" else word for word in arguments])
    assert done.exit_code == 2 and "run.json" in done.output.splitlines()[-1]
    assert content(tmp_path) == before


def test_a_reader_refuses_it_too(tmp_path):
    make_run(tmp_path, {"plan_hash": "x"})
    with pytest.raises(OtherVersion):
        load_pairs(LocalStorage(str(tmp_path)).uri)
