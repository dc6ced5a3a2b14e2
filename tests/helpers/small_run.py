"""A small run of the nano world, some of whose pairs are accepted and some not, for tests of what may stop a pair."""

import pyarrow.parquet as pq
from click.testing import CliRunner

from tests.conftest import QUICK
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage

SETS = (
    "placement=inline",
    "subjects.source=renderer",
    "pairs.count=8",
    "subjects_per_shard=2",
    "seed=5",
    "stages.judge.min_dino=0.6",
    "stages.judge.min_clip=0.2",
    "stages.judge.min_clip_gain=null",
    *QUICK,
)


def run(job, output, *sets):
    """Runs the job here; returns what it said."""
    words = [word for item in (*SETS, *sets) for word in ("--set", item)]
    done = CliRunner().invoke(job, ["--output", str(output), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def rows_of(output, folder="_ledger"):
    files = data_files(open_storage(str(output)), folder)
    return [row for file in files for row in pq.read_table(file).to_pylist()]
