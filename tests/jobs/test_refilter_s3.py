"""Views of a run that lies on S3, themselves there: the project's readers read them, and others a materialized one."""

import json
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow.dataset
import pyarrow.fs
import pytest
from click.testing import CliRunner

from jobs import export, refilter, status, verify
from tests.helpers.s3 import BUCKET, CREDENTIALS
from tests.helpers.scored_run import write_run
from toffee_pipeline.config.train import RunSource
from toffee_pipeline.rundir.dataset import load_pairs
from toffee_pipeline.rundir.manifests import data_files, read_manifests
from toffee_pipeline.rundir.rows import read_ledger
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.sources.run import Run

pytestmark = pytest.mark.slow

LOOSER = ("filter.min_dino=0.2", "filter.min_clip=0.1", "filter.max_dino=0.8")


def call(job, *words):
    done = CliRunner().invoke(job.main, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def accepted(uri, endpoint=None):
    storage = open_storage(uri, endpoint)
    ledgers = [read_ledger(storage, manifest, PAIRS) for manifest in read_manifests(storage)]
    return sorted(row["pair_id"] for rows in ledgers for row in rows.to_pylist() if row["status"] == "accepted")


@pytest.fixture(scope="module")
def views(endpoint, tmp_path_factory):
    """URIs of the view and of the materialized one, and the ids of the pairs that they accept."""
    folder, prefix = tmp_path_factory.mktemp("run"), f"s3://{BUCKET}/refilter"
    run = Path(write_run(folder / "run", "output.keep=scored", "pairs.count=24"))
    stored = open_storage(f"{prefix}/run", endpoint)
    for path in filter(Path.is_file, run.rglob("*")):
        stored.put(path.relative_to(run).as_posix(), path.read_bytes())
    sets = [word for item in LOOSER for word in ("--set", item)]
    call(refilter, run, "--output", folder / "view", *sets)
    for name, more in (("view", []), ("whole", ["--materialize"])):
        call(refilter, stored.uri, "--output", f"{prefix}/{name}", "--endpoint-url", endpoint, *sets, *more)
    expected = accepted(str(folder / "view"))
    assert set(expected) - set(accepted(str(run)))  # some were taken back from the rejected ones
    return f"{prefix}/view", f"{prefix}/whole", expected


@pytest.mark.parametrize("which", [0, 1])
def test_the_projects_readers_read_it(views, which, endpoint, tmp_path):
    uri, expected = views[which], views[2]
    assert accepted(uri, endpoint) == expected
    call(verify, uri, "--endpoint-url", endpoint)
    shown = json.loads(call(status, uri, "--endpoint-url", endpoint, "--json"))
    assert (shown["state"], shown["totals"]["accepted"]) == ("finished", len(expected))
    source = Run(RunSource(format="run", path=uri, endpoint_url=endpoint))
    records = [record for file in source.files() for record in source.read(file)]
    assert sorted(record.key for record in records) == expected
    assert all(record.images["target"]().shape == (64, 64, 3) for record in records)
    pairs = load_pairs(uri, endpoint, cache_dir=str(tmp_path / "cache"))
    assert sorted(pairs["pair_id"]) == expected and np.asarray(pairs[0]["target_image"]).shape == (64, 64, 3)


def test_it_is_published_from_there(views, endpoint, tmp_path):
    uri, _, expected = views
    call(export, uri, "--format", "huggingface", "--endpoint-url", endpoint, "--output", tmp_path / "out")
    files = sorted(str(path) for path in (tmp_path / "out").rglob("*.parquet"))
    assert sorted(pyarrow.dataset.dataset(files).to_table(columns=["pair_id"])["pair_id"].to_pylist()) == expected


def test_a_materialized_one_has_few_files(views, endpoint):
    written, whole = (open_storage(uri, endpoint) for uri in views[:2])
    assert len(list(read_manifests(written))) == 2
    assert [Path(file).name[:-20] for file in data_files(whole)] == ["generation-000000-", "edit-000000-"]


def test_a_materialized_one_needs_no_code_of_ours(views, endpoint):
    _, whole, expected = views
    key, secret, region = (
        CREDENTIALS[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION")
    )
    there = pyarrow.fs.S3FileSystem(access_key=key, secret_key=secret, region=region, endpoint_override=endpoint)
    pairs = pyarrow.dataset.dataset(f"{whole.removeprefix('s3://')}/data", filesystem=there)
    assert sorted(pairs.to_table(columns=["pair_id"])["pair_id"].to_pylist()) == expected
    counted = duckdb.sql("SELECT status, count(*), count(target_image) FROM pairs GROUP BY status").fetchall()
    assert counted == [("accepted", len(expected), len(expected))]
    options = {
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "aws_region": region,
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true",
    }
    rows = polars.scan_parquet(f"{whole}/data/*.parquet", storage_options=options).select("pair_id").collect()
    assert sorted(rows["pair_id"]) == expected
