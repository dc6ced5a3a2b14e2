"""A finished run in the hands of other people's readers: what one tries first shows the accepted pairs, each once."""

import shutil
from collections import Counter

import datasets
import duckdb
import numpy as np
import pandas
import polars
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from actors.shard import Shard
from actors.stages.judge import Judge
from jobs.generate import generate
from tests.helpers.scored_run import SMALL, Scored, write_run
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """With accepted pairs of both kinds, with rejected ones, and with what a dead try left."""
    output = tmp_path_factory.mktemp("run") / "a run"
    every = ", ".join(f"{category}: 1" for category in CATEGORIES)
    write_run(output, f"pairs.edit_categories={{{every}}}")
    dead = output / "_tries/data/edit-000000-dead.part"
    dead.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(next((output / "data").glob("edit-*.parquet")), dead)
    return output


@pytest.fixture(scope="module")
def ids(run):
    """Ids by status, and of accepted pairs by kind too."""
    found: dict[str, list[str]] = {}
    for path in data_files(open_storage(str(run)), "_ledger"):
        for row in pq.read_table(path).to_pylist():
            found.setdefault(row["status"], []).append(row["pair_id"])
            if row["status"] == "accepted":
                found.setdefault(row["kind"], []).append(row["pair_id"])
    assert all(found.get(name) for name in ("accepted", "rejected", "edit", "generation"))
    return {name: sorted(values) for name, values in found.items()}


def test_load_dataset_of_the_folder(run, ids, tmp_path):
    def load(*config: str) -> datasets.Dataset:
        return datasets.load_dataset(str(run), *config, split="train", cache_dir=str(tmp_path))

    for config, expected in {
        (): ids["accepted"],
        ("edit",): ids["edit"],
        ("generation",): ids["generation"],
        ("rejected",): ids["rejected"],
        ("ledger",): sorted(ids["accepted"] + ids["rejected"]),
    }.items():
        assert sorted(load(*config)["pair_id"]) == expected, config
    row = load("edit")[0]
    assert row["target_image"].size == (64, 64) and np.asarray(row["input_image"]).std() > 10


class Stops(Scored):
    """After its first shard."""

    def process(self, shard: Shard) -> None:
        if shard.index > 0:
            raise RuntimeError("stopped")
        super().process(shard)


def test_the_card_is_there_from_the_first_commit_on(tmp_path):
    with pytest.raises(RuntimeError, match="stopped"):
        generate(load_config("nano", SMALL), str(tmp_path / "run"), stages={"score": Stops, "judge": Judge})
    (ledger,) = data_files(open_storage(str(tmp_path / "run")), "_ledger")
    accepted = [row["pair_id"] for row in pq.read_table(ledger).to_pylist() if row["status"] == "accepted"]
    found = datasets.load_dataset(str(tmp_path / "run"), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(found["pair_id"]) == accepted and accepted


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        (("pairs.edit_fraction=0",), "edit"),
        (("pairs.edit_fraction=1",), "generation"),
        (("stages.judge.min_dino=null", "stages.judge.max_dino=null", "stages.judge.min_clip=null"), "rejected"),
    ],
)
def test_a_config_without_rows_is_not_offered(settings, lacking, tmp_path):
    run = write_run(tmp_path / "run", "output.keep=all", *settings)
    offered = datasets.get_dataset_config_names(run)
    assert sorted([*offered, lacking]) == ["default", "edit", "generation", "ledger", "rejected"]
    for config in offered:
        assert len(datasets.load_dataset(run, config, split="train", cache_dir=str(tmp_path / "cache"))) > 0


READERS = {
    "DuckDB": lambda at: [pair_id for (pair_id,) in duckdb.sql(f"select pair_id from read_parquet('{at}')").fetchall()],
    "Polars": lambda at: polars.read_parquet(at)["pair_id"],
    "pyarrow": lambda at: pq.read_table(at)["pair_id"].to_pylist(),
    "pyarrow.dataset": lambda at: pyarrow.dataset.dataset(at).to_table(columns=["pair_id"])["pair_id"].to_pylist(),
    "pandas": lambda at: pandas.read_parquet(at)["pair_id"],
}


@pytest.mark.parametrize(
    ("reader", "place"),
    [
        *((name, "data/*.parquet") for name in ("DuckDB", "Polars")),
        *((name, "data") for name in ("Polars", "pyarrow", "pyarrow.dataset", "pandas")),
    ],
)
def test_readers_of_parquet(run, ids, reader, place):
    assert sorted(READERS[reader](str(run / place))) == ids["accepted"]


def test_the_whole_folder_is_for_few(run, ids):
    """As README and the run's own card say."""
    found = pyarrow.dataset.dataset(str(run), format="parquet", exclude_invalid_files=True)
    assert sorted(found.to_table(columns=["pair_id"])["pair_id"].to_pylist()) == ids["accepted"]
    for reader in ("Polars", "pyarrow", "pyarrow.dataset", "pandas"):
        with pytest.raises((pyarrow.ArrowInvalid, polars.exceptions.InvalidOperationError), match="README"):
            READERS[reader](str(run))
    assert len(READERS["DuckDB"](f"{run}/**/*.parquet")) > len(ids["accepted"])


def test_captions_and_instructions(run):
    rows = [row for path in data_files(open_storage(str(run))) for row in pq.read_table(path).to_pylist()]
    assert len(rows) == len({row["pair_id"] for row in rows})
    for row in rows:
        wording = row["prompt"].removeprefix("a photo of ")
        assert row["class_name"] in row["input_prompt"]
        if row["kind"] == "edit" and row["reversed_from"] is None:
            assert row["input_prompt"] == row["subject_prompt"]
        if row["kind"] == "generation":
            assert row["subject_prompt"].startswith(row["input_prompt"]) and row["input_prompt"] != wording
        assert row["instruction"].split()[0] in ("make", "put", "add", "remove")


def test_row_groups_have_an_index(run):
    files = [
        pq.ParquetFile(path) for folder in ("data", "_ledger") for path in data_files(open_storage(str(run)), folder)
    ]
    groups = [file.metadata.row_group(number) for file in files for number in range(file.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    assert all(column.has_offset_index for column in columns)
    assert Counter(column.has_column_index for column in columns)[True] > len(files)
