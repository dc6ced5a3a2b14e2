"""Exports in the hands of the libraries that they are for: every accepted pair once, its pixels and its texts."""

import io
import json
import re
import tarfile
from collections import defaultdict
from pathlib import Path

import datasets
import duckdb
import lance
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from click.testing import CliRunner
from PIL import Image

from jobs.export import main
from tests.helpers.pixels import pixels
from tests.helpers.planned_run import write_planned_run
from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.export.formats.parquet import side_by_side
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import LocalStorage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TERM = "digitalsourcetype/trainedAlgorithmicMedia"


def load(path, *config, **options):
    return datasets.load_dataset(str(path), *config, **options)


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


@pytest.mark.parametrize("form", ["huggingface", "webdataset", "lance", "imagefolder", "subjects200k"])
def test_every_image_says_what_it_is(run, exported, form):
    """In the files themselves."""
    found = list(images_in(exported(form), form))
    generations = sum(row["kind"] == "generation" for row in run[1].values())
    assert len(found) == (generations if form == "subjects200k" else len(run[1]) * len(IMAGE_COLUMNS))
    for data in found:
        xmp = Image.open(io.BytesIO(data)).info["xmp"]
        assert TERM in (xmp if isinstance(xmp, str) else xmp.decode())


def images_in(path, form):
    """The bytes of every image of an export."""
    if form == "webdataset":
        for tar in map(tarfile.open, path.rglob("*.tar")):
            yield from (tar.extractfile(name).read() for name in tar.getnames() if not name.endswith(".json"))
    elif form == "imagefolder":
        yield from (file.read_bytes() for file in path.rglob("*") if file.suffix in (".png", ".jpg"))
    else:
        tables = map(pq.read_table, path.rglob("*.parquet"))
        if form == "lance":
            tables = (lance.dataset(str(dataset)).to_table() for dataset in path.glob("*.lance"))
        for row in (row for table in tables for row in table.to_pylist()):
            images = [value for name, value in row.items() if name in (*IMAGE_COLUMNS, "image")]
            yield from (value["bytes"] if isinstance(value, dict) else value for value in images)


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


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_tars_whose_first_rows_lack_something(tmp_path, streaming):
    """It guesses types by the first five."""
    rows = write_planned_run(LocalStorage(str(tmp_path / "run")), 8, 64, False, "pairs.edit_fraction=1")
    (path,) = (tmp_path / "run/data").iterdir()
    table = pq.read_table(path)
    for name, value in {"reversed_from": "p", "edit_region": "subject", "source_path": "p", "source": "p"}.items():
        values = pa.array([None] * 5 + [value] * (len(table) - 5), pa.string())
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    pq.write_table(table, path)
    words = ("--format", "webdataset", "--output", str(tmp_path / "out"), "--split", "train=1")
    assert CliRunner().invoke(main, [str(tmp_path / "run"), *words]).exit_code == 0
    options = {"streaming": True} if streaming else {"cache_dir": str(tmp_path / "cache")}
    found = list(load(tmp_path / "out", "edit", split="train", **options))
    assert [row["__key__"] for row in found] == list(rows) and len(rows) == 8
    assert [row["json"]["source"] for row in found] == [None] * 5 + ["p"] * 3
    for row in found:
        for column in IMAGE_COLUMNS:
            original = rows[row["__key__"]][column]["bytes"]
            assert np.array_equal(pixels(row[f"{column}.png"]), pixels(original)), column
        assert row["json"]["dino_score"] == 0.5 and row["json"]["pair_seed"] == rows[row["__key__"]]["pair_seed"]


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


def test_ip_adapter(run, exported, tmp_path, monkeypatch):
    """The snippet of docs/export.md gives what its dataset opens."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.S)
    (snippet,) = (block for block in blocks if "image_file" in block)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports/folders").symlink_to(exported("imagefolder"))
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    found = json.loads((tmp_path / "data.json").read_text())
    assert found and all(item.keys() == {"image_file", "text"} for item in found)
    for item in found:
        row = run[1][item["image_file"].partition(".")[0]]
        data = (exported("imagefolder") / "train/generation-00000" / item["image_file"]).read_bytes()
        assert item["text"] == row["prompt"] and np.array_equal(pixels(data), pixels(row["target_image"]["bytes"]))


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
