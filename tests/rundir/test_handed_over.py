"""Jobs on a run directory that somebody else packed: one line, nothing outside of it touched, no end waited for."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from jobs import browse, export, refilter, remake, status, verify
from tests.helpers import stub_job
from tests.helpers.handed_over import change_all_rows, change_json
from tests.helpers.planned_run import write_finished_run
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.subjects import FolderSubjects
from toffee_pipeline.report.costs import costs_of
from toffee_pipeline.report.overview import funnel_of
from toffee_pipeline.report.site import make_site
from toffee_pipeline.rundir.bank import shards_from
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.layout import LEASE, RUN, SUMMARY, manifest_key
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.storage import LocalStorage

pytestmark = pytest.mark.slow

READERS = {
    "verify": lambda run: (verify, run),
    "repair": lambda run: (verify, run, "--repair"),
    "status": lambda run: (status, run),
    "refilter": lambda run: (refilter, run, "--output", f"{run}-view"),
    "export": lambda run: (export, run, "--format", "huggingface", "--output", f"{run}-export"),
    "remake": lambda run: (remake, run, "p000000000"),
    "browse": lambda run: (browse, run, "--port", 0),
    "generate": lambda run: (stub_job, "--config", f"{run}/run.json", "--output", run),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of four shards; tests copy it."""
    folder = tmp_path_factory.mktemp("handed") / "run"
    write_finished_run(LocalStorage(str(folder)), 16)
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def call(name: str, run: Path) -> str:
    """What the job says, which is refused: one line."""
    job, *words = READERS[name](run)
    done = CliRunner().invoke(job.main, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 2, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and done.output.rstrip().endswith(lines[0])
    return lines[0]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "linked"),
    [
        *((name, "_manifests") for name in ("verify", "repair", "status", "refilter", "export", "generate")),
        *(("repair", folder) for folder in ("data", "_ledger", "_rejected", "_tries")),
        *(("generate", folder) for folder in ("data", "_ledger", "_tries", "report", "_index")),
        ("export", "data"),
        ("refilter", "_ledger"),
    ],
)
def test_another_run_behind_a_link_is_neither_read_nor_changed(name, linked, run, finished, tmp_path):
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    (other / linked).mkdir(exist_ok=True)
    before = files_of(other)
    shutil.rmtree(run / linked, ignore_errors=True)
    (run / linked).symlink_to(other / linked)
    (run / SUMMARY).unlink()
    assert f"{run}/{linked}" in (said := call(name, run)) and "a link that leaves" in said
    assert files_of(other) == before


@pytest.mark.parametrize("linked", ["_manifests", "_ledger"])
def test_pages_say_so_in_one_line(linked, run, finished):
    shutil.rmtree(run / linked)
    (run / linked).symlink_to(finished / linked)
    with TestClient(make_site(LocalStorage(str(run))), base_url="http://127.0.0.1") as client:
        shown = client.get("/")
    assert shown.status_code >= 400
    assert "a link that leaves" in shown.text


@pytest.mark.parametrize(
    ("key", "what"),
    [
        *((key, what) for key in (RUN, LEASE) for what in ("pipe", "device", "20 GiB")),
        *((key, "20 GiB") for key in (SUMMARY, manifest_key(0))),  # others are not listed: as if they were not there
    ],
)
def test_what_has_no_end_is_damaged(key, what, run):
    path = run / key
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(20 * 2**30)
    damage = "a link that leaves" if what == "device" else "damaged: "
    # a summary is none while it is no file, and of another one the job reads that has nothing else to do
    for name in ("generate",) if key == SUMMARY else ("status", "verify") if key in (RUN, LEASE) else ("status",):
        assert f"{path}: {damage}" in call(name, run)


def test_a_file_of_a_shard_that_is_a_pipe_is_a_problem_that_a_repair_takes_back(run):
    path = next((run / "data").iterdir())
    path.unlink()
    os.mkfifo(path)
    done = CliRunner().invoke(verify.main, [str(run)], catch_exceptions=False)
    assert done.exit_code == 1
    assert f"data/{path.name}: damaged: no regular file" in done.output


@pytest.mark.parametrize("name", READERS)
def test_an_endpoint_in_a_run_json_is_shown_and_no_job_goes_there(name, run):
    path = run / RUN
    path.write_text(path.read_text().replace('"subjects": {', '"subjects": {"endpoint_url": "https://theirs.example",'))
    assert "config.subjects.endpoint_url: " in (said := call(name, run))
    assert "https://theirs.example is refused" in said


@pytest.mark.parametrize(
    "line",
    [
        '{"path": "../../secret.png", "class_name": "a", "size_bytes": 1, "mtime_ns": 1}',
        '{"path": "/secret.png", "class_name": "a", "size_bytes": 1, "mtime_ns": 1}',
        '{"path": "a.png", "class_name": 1, "size_bytes": 1, "mtime_ns": 1}',
        "[" * 100_000,
        "9" * 5000,
    ],
)
def test_a_list_of_images_names_none_outside_of_their_folder(line):
    with pytest.raises(PlanError, match="^images: damaged: ") as caught:
        FolderSubjects.stored(gzip.compress(line.encode()), "images")
    assert "\n" not in str(caught.value)


DAMAGES = {
    RUN: ["num_rows", "created", "config.seed", "config.stages.judge.min_dino", "config.size_px", "roles", "config"],
    SUMMARY: ["planned", "rejected.low_clip", "elapsed_s", "stages.draft.seconds", "errors"],
    LEASE: ["until", "lease_s", "pid", "released", "host"],
    manifest_key(0): ["committed", "shard", "files.0.size_bytes", "files.0.key", "counts.planned", "counts.stages"],
}
VALUES = ["NaN", "1e400", "-1", "9" * 5000, '"never"', "null", "[]", '{"a": {}}', "[" * 100_000]


@pytest.mark.parametrize(("key", "place"), [(key, place) for key, places in DAMAGES.items() for place in places])
def test_a_value_that_is_none_is_one_line(key, place, run):
    """Some values are allowed at some places, and then nothing is said of them."""
    path = run / key
    content = json.loads(path.read_text())
    *above, last = (int(part) if part.isdecimal() else part for part in place.split("."))
    inner = content
    for part in above:
        inner = inner[part]
    inner[last] = "HERE"
    text = json.dumps(content)
    refused = 0
    for value in VALUES:
        path.write_text(text.replace('"HERE"', value))
        for job, *words in (READERS["verify"](run), READERS["status"](run)):
            done = CliRunner().invoke(job.main, list(map(str, words)), catch_exceptions=False)
            if done.exit_code:
                assert "\nTraceback" not in done.output
                assert re.search(f"{re.escape(key)}: (damaged: |.*plan )", done.output), done.output
                refused += 1
    assert refused >= 5


COUNTS = {
    "an unknown stage": lambda counts: counts["stages"].update(weird=counts["stages"]["draft"]),
    "an unknown reason": lambda counts: counts["rejected"].update(weird=1),
    "a class without rows": lambda counts: counts["by_class"].update(boat={"accepted": 1}),
}


@pytest.mark.parametrize("name", ["verify", "status", "refilter", "export", "browse", "generate"])
@pytest.mark.parametrize("what", COUNTS)
def test_counts_of_what_there_is_not_are_damaged(what, name, run):
    change_json(run / SUMMARY, COUNTS[what])
    for path in (run / "_manifests").iterdir():
        change_json(path, lambda manifest: COUNTS[what](manifest["counts"]))
    if name == "browse":
        assert "damaged: " in page(run, "/")
    elif name == "verify":
        assert "damaged: counts: " in CliRunner().invoke(verify.main, [str(run)], catch_exceptions=False).output
    else:
        assert "damaged: " in call(name, run)


def test_counts_of_another_job_are_shown(run, tmp_path):
    """Its stages cost what they say, and its reasons have no threshold here."""

    def count(counts):
        counts["stages"]["draw"] = counts["stages"]["draft"]
        counts["rejected"] |= {"low_subject_clip": 1}

    change_json(run / SUMMARY, count)
    for path in (run / "_manifests").iterdir():
        change_json(path, lambda manifest: count(manifest["counts"]))
    run_of, summary = read_run(LocalStorage(str(run))), read(LocalStorage(str(run)), SUMMARY, Summary)
    assert [stage.name for stage in costs_of(run_of, summary).stages] == ["draft"]
    assert "low_subject_clip" in str(funnel_of(run_of, summary))


def page(run: Path, path: str) -> str:
    with TestClient(make_site(LocalStorage(str(run))), base_url="http://127.0.0.1") as client:
        return client.get(path).text


ROWS = [
    *((column, "weird") for column in ("kind", "category", "status", "reason")),
    ("status", "rejected"),  # most of them for no reason
]


@pytest.mark.parametrize("name", ["refilter", "remake", "browse", "export"])
@pytest.mark.parametrize(("column", "value"), ROWS)
def test_rows_that_say_what_no_run_writes_are_damaged(column, value, name, run):
    change_all_rows(run, column, value)
    if name == "browse":
        assert "not a sound Parquet file: " in page(run, "/rows/0/0")
        return
    said = call(name, run)
    assert "not a sound Parquet file: " in said and (f"unknown {column} 'weird'" in said) == (value == "weird")


def test_a_view_that_rejects_for_what_is_no_reason_is_damaged(run, tmp_path):
    view = tmp_path / "view"
    done = CliRunner().invoke(refilter.main, [str(run), "--output", str(view)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (pack,) = (view / "_manifests").iterdir()
    pack.write_text(re.sub(r'"verdicts":\{[^}]*\}', '"verdicts":{"p000000000":"weird"}', pack.read_text()))
    assert "unknown reason 'weird'" in call("status", view)


LEDGERS = {
    "none": lambda files: [file for file in files if file["folder"] != "_ledger"],
    "two": lambda files: [*files, *(file for file in files if file["folder"] == "_ledger")],
}


@pytest.mark.parametrize("name", ["refilter", "remake"])
@pytest.mark.parametrize("number", LEDGERS)
def test_a_shard_with_rows_has_one_ledger(number, name, run):
    shutil.rmtree(run / "_index", ignore_errors=True)
    change_json(run / manifest_key(0), lambda manifest: manifest.update(files=LEDGERS[number](manifest["files"])))
    said = call(name, run)
    assert f"{manifest_key(0)}: damaged: it names {2 if number == 'two' else 0} ledgers" in said


@pytest.mark.parametrize("listed", [b"", b'[0, 0, "a"]\n'], ids=["no rows", "a shard without subjects"])
def test_a_list_of_nothing_is_damaged(listed):
    data = gzip.compress(listed)
    for read_list in (shards_from, FolderSubjects.stored):
        with pytest.raises(PlanError, match="^list: damaged: "):
            read_list(data, "list")


REMADE = {
    "an addition of nobody": ({"reversed_from": "p000000015"}, "turns round what is no addition to its subject"),
    "itself": ({"reversed_from": "p000000001"}, "turns round what is no addition to its subject"),
    "a seed below 0": ({"subject_seed": -1}, "seed: Input should be greater than or equal to 0"),
    "a pair's seed below 0": ({"pair_seed": -5}, "seed: Input should be greater than or equal to 0"),
    "an unknown class": ({"class_name": "weird"}, "cannot be made again: the renderer has no class 'weird'"),
    "an unknown region": ({"edit_region": "weird"}, "unknown edit_region 'weird'"),
}


@pytest.mark.parametrize("pair_id", ["p000000000", "p000000001"], ids=["generation", "edit"])
@pytest.mark.parametrize("what", REMADE)
def test_a_pair_that_no_plan_has_is_not_remade(what, pair_id, run):
    changes, said = REMADE[what]
    for column, value in changes.items():
        change_all_rows(run, column, value)
    done = CliRunner().invoke(remake.main, [str(run), pair_id], catch_exceptions=False)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert said in done.stderr
