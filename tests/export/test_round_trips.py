"""Exports in the hands of the libraries that they are for: every accepted pair once, its pixels and its texts."""

import io
import json
from collections import defaultdict
from fnmatch import fnmatch

import datasets
import duckdb
import lance
import mlcroissant
import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
import webdataset
import yaml
from click.testing import CliRunner
from PIL import Image

from jobs.export import main
from tests.helpers.planned_run import write_planned_run
from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.export.formats.parquet import side_by_side
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import LocalStorage

pytestmark = pytest.mark.slow

SPLITS = ("--split", "train=0.6", "--split", "test=0.4")
TERM = "digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Its directory, and its accepted rows by pair id."""
    path = tmp_path_factory.mktemp("run") / "run"
    return path, write_planned_run(LocalStorage(str(path)))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Exports the run in a format, once, in parts of about one shard each, and gives the directory."""
    known = {}

    def make(form):
        if form not in known:
            known[form] = tmp_path_factory.mktemp("exports") / form
            words = ("--output", str(known[form]), "--license", "cc-by-4.0", "--part-mib", "1", *SPLITS)
            done = CliRunner().invoke(main, [str(run[0]), "--format", form, *words], catch_exceptions=False)
            assert done.exit_code == 0, done.output
        return known[form]

    return make


def load(path, *config, **options):
    return datasets.load_dataset(str(path), *config, **options)


def pixels(data):
    return np.asarray(data if isinstance(data, Image.Image) else Image.open(io.BytesIO(data)))


def same_row(got, expected, columns=IMAGE_COLUMNS):
    assert got["prompt"] == expected["prompt"] and got["license"] == "cc-by-4.0"
    for column in columns:
        data = got[column]["bytes"] if isinstance(got[column], dict) else got[column]
        assert np.array_equal(pixels(data), pixels(expected[column]["bytes"])), column


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_parquet(run, exported, tmp_path, streaming):
    _, rows = run
    options = {"streaming": True} if streaming else {"cache_dir": str(tmp_path)}
    splits = load(exported("huggingface"), **options)
    assert set(splits) == {"train", "test"}
    found = [row for split in splits.values() for row in split]
    assert sorted(row["pair_id"] for row in found) == sorted(rows)
    for row in found:
        same_row(row, rows[row["pair_id"]])
    edits = load(exported("huggingface"), "edit", **options)
    ids = sorted(row["pair_id"] for split in edits.values() for row in split)
    assert ids == sorted(name for name, row in rows.items() if row["kind"] == "edit")


def test_no_subject_is_in_two_splits(exported):
    splits_of = defaultdict(set)
    for split in ("train", "test"):
        for path in (exported("huggingface") / split).glob("*.parquet"):
            for subject in pq.read_table(path)["subject_id"].to_pylist():
                splits_of[subject].add(split)
    assert len(splits_of) == 12 and all(len(splits) == 1 for splits in splits_of.values())


def test_row_groups_are_small_and_have_an_index(exported):
    for path in exported("huggingface").rglob("*.parquet"):
        metadata = pq.ParquetFile(path).metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        assert all(group.num_rows <= 100 for group in groups)
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        assert all(column.has_offset_index for column in columns) and any(column.has_column_index for column in columns)


def test_small_files_of_a_run_become_few_with_full_row_groups(tmp_path):
    """A run of many shards has a file of each kind for every one."""
    rows = write_planned_run(LocalStorage(str(tmp_path / "run")), 240, 64, True, "pairs.edit_fraction=1")
    words = ("--format", "huggingface", "--output", str(tmp_path / "out"), "--split", "train=1")
    assert CliRunner().invoke(main, [str(tmp_path / "run"), *words]).exit_code == 0
    (packed,) = (tmp_path / "out").rglob("*.parquet")
    metadata = pq.ParquetFile(packed).metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert len(list((tmp_path / "run/data").iterdir())) == 30 and len(rows) > 200
    assert sizes == [100, 100, len(rows) - 200]


def test_every_image_says_what_it_is(exported):
    for path in exported("huggingface").rglob("*.parquet"):
        for row in pq.read_table(path, columns=list(IMAGE_COLUMNS)).to_pylist():
            for column in IMAGE_COLUMNS:
                xmp = Image.open(io.BytesIO(row[column]["bytes"])).info["xmp"]
                assert TERM in (xmp if isinstance(xmp, str) else xmp.decode()), column


def test_duckdb_and_polars(run, exported):
    _, rows = run
    pattern = str(exported("huggingface") / "*/*.parquet")
    found = duckdb.sql(f"select pair_id, dino_score from '{pattern}' where kind = 'edit'").fetchall()
    assert sorted(name for name, _ in found) == sorted(name for name, row in rows.items() if row["kind"] == "edit")
    frame = polars.scan_parquet(pattern).select("pair_id", "plan_hash", "models").collect()
    assert sorted(frame["pair_id"]) == sorted(rows)
    assert frame["plan_hash"].n_unique() == 1 and "refiner" in json.loads(frame["models"][0])


def test_webdataset(run, exported):
    _, rows = run
    found = {}
    for path in sorted(exported("webdataset").glob("*/*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8"):
            row = rows[sample["__key__"]]
            suffix = "png" if row["kind"] == "edit" else "jpg"
            assert np.array_equal(sample[f"target_image.{suffix}"], pixels(row["target_image"]["bytes"]))
            assert sample["json"]["instruction"] == row["instruction"]
            found[sample["__key__"]] = path.parent.name
    assert sorted(found) == sorted(rows) and set(found.values()) == {"train", "test"}


def test_datasets_reads_tars(run, exported, tmp_path):
    _, rows = run
    splits = load(exported("webdataset"), "generation", cache_dir=str(tmp_path))
    found = {row["json"]["pair_id"]: row for split in splits.values() for row in split}
    assert sorted(found) == sorted(name for name, row in rows.items() if row["kind"] == "generation")
    for name, row in found.items():
        assert np.array_equal(pixels(row["input_image.jpg"]), pixels(rows[name]["input_image"]["bytes"]))


def test_lance(run, exported):
    _, rows = run
    found = {}
    for split in ("train", "test"):
        dataset = lance.dataset(str(exported("lance") / f"{split}.lance"))
        assert dataset.count_rows("kind = 'edit'") > 0
        found |= {row["pair_id"]: row for row in dataset.take(range(dataset.count_rows())).to_pylist()}
    assert sorted(found) == sorted(rows)
    for name, row in found.items():
        same_row(row, rows[name])


def test_datasets_reads_lance(run, exported, tmp_path):
    _, rows = run
    splits = load(exported("lance"), cache_dir=str(tmp_path))
    assert sorted(name for split in splits.values() for name in split["pair_id"]) == sorted(rows)
    assert splits["train"][0]["target_image"].size == (64, 64)


def test_imagefolder(run, exported, tmp_path):
    _, rows = run
    splits = load(exported("imagefolder"), cache_dir=str(tmp_path))
    found = {row["pair_id"]: row for split in splits.values() for row in split}
    assert sorted(found) == sorted(rows)
    for name, row in found.items():
        assert row["text"] == rows[name]["prompt"]
        for column in ("input", "mask", "depth", "subject", "draft", "image"):
            original = {"image": "target_image", "mask": "mask", "depth": "depth"}.get(column, f"{column}_image")
            assert np.array_equal(pixels(row[column]), pixels(rows[name][original]["bytes"]))


def test_subjects200k(run, exported, tmp_path):
    """What OminiControl's filter and its dataset do with a row."""
    _, rows = run
    splits = load(exported("subjects200k"), cache_dir=str(tmp_path))
    found = {row["pair_id"]: row for split in splits.values() for row in split}
    assert sorted(found) == sorted(name for name, row in rows.items() if row["kind"] == "generation")
    for name, row in found.items():
        assert all(row["quality_assessment"][key] >= 5 for key in row["quality_assessment"])
        left, right = row["image"].crop((0, 0, 64, 64)), row["image"].crop((64, 0, 128, 64))
        for half, column in ((left, "input_image"), (right, "target_image")):
            original = pixels(rows[name][column]["bytes"])
            assert np.abs(pixels(half).astype(int) - original).mean() < 8  # encoded anew
        assert row["description"]["description_0"] == rows[name]["input_prompt"]
        assert row["description"]["description_1"] == rows[name]["prompt"]


def test_a_picture_larger_than_its_run_makes_them_is_not_decoded(run):
    row = next(row for row in run[1].values() if row["kind"] == "generation")
    with pytest.raises(
        DamagedFile, match=f"{row['pair_id']} input_image: 64 x 64 px are too many pixels; allowed are 1024"
    ):
        side_by_side(row, 32 * 32)


@pytest.mark.parametrize("form", ["huggingface", "subjects200k", "webdataset", "lance", "imagefolder"])
def test_croissant_is_valid(exported, form):
    dataset = mlcroissant.Dataset(jsonld=str(exported(form) / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    named = {resource.content_url for resource in dataset.metadata.file_objects}
    there = {path.relative_to(exported(form)).as_posix() for path in exported(form).rglob("*") if path.is_file()}
    extra = {"README.md", "croissant.json"}
    expected = {name for name in there - extra if not name.startswith("_") and "/_" not in name}
    if form != "imagefolder":
        assert named == expected
        return
    # a file for each image would grow with the dataset: these are sets
    assert named == {name for name in expected if name.endswith("/metadata.parquet")}
    patterns = [pattern for files in dataset.metadata.file_sets for pattern in files.includes]
    for name in expected - named:
        assert sum(fnmatch(name, pattern) for pattern in patterns) == 1, name
    assert not any(fnmatch(name, pattern) for name in named for pattern in patterns)


def test_croissant_gives_the_rows(run, exported):
    _, rows = run
    dataset = mlcroissant.Dataset(jsonld=str(exported("huggingface") / "croissant.json"))
    found = {row["train/pair_id"].decode(): row for row in dataset.records("train")}
    assert found and set(found) <= set(rows)
    name, row = next(iter(found.items()))
    assert np.array_equal(pixels(row["train/target_image"]), pixels(rows[name]["target_image"]["bytes"]))


def test_the_card_tells_what_it_is(run, exported):
    _, rows = run
    _, head, text = (exported("huggingface") / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "cc-by-4.0"
    counts = {kind: sum(row["kind"] == kind for row in rows.values()) for kind in ("generation", "edit")}
    assert f"{len(rows)} image pairs" in text
    lines = [line for line in text.splitlines() if line.startswith(("| train |", "| test |"))]
    cells = np.array([[int(cell) for cell in line.split("|")[2:4]] for line in lines])
    assert cells.sum(axis=0).tolist() == [counts["generation"], counts["edit"]]
    judge = json.loads((run[0] / "run.json").read_text())["config"]["stages"]["judge"]
    assert "| `low_clip` | 6 |" in text and f"CLIP below {judge['min_clip']}" in text
    assert "0.12 GPU hours" in text and f"{432 / len(rows):.3g} GPU seconds per accepted pair" in text
    assert "Energy: 3 kWh, by the counters of the GPUs" in text
    assert "| refiner | nano weights" in text and "| subject | renderer (stand-in) | none |" in text
    assert "Stand-ins, which are no trained networks, played: mask, subject, view" in text
