"""A run's Parquet files without its manifests, as they come from a hub."""

import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.banks import make_bank
from toffee_pipeline.config.train import RunSource
from toffee_pipeline.errors import BrokenFile, DataError
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.sources import make_source

pytestmark = pytest.mark.slow


def of(path):
    return make_source(RunSource(format="run", path=str(path)))


def seen(source):
    return [
        (record.key, record.text, record.kind, {name: image().tobytes() for name, image in record.images.items()})
        for file in source.files()
        for record in source.read(file)
    ]


@pytest.fixture
def downloaded(pairs, tmp_path):
    """The accepted pairs of a run in files under other names, one of each shard, and what else may lie on a hub."""
    folder = tmp_path / "downloaded"
    (folder / "data").mkdir(parents=True)
    for number, manifest in enumerate(read_manifests(open_storage(str(pairs)))):
        files = [pq.read_table(pairs / file.key) for file in manifest.files if file.folder == "data"]
        pq.write_table(pa.concat_tables(files), folder / f"data/train-{number:05d}.parquet")
    (folder / "README.md").write_text("a card")
    (folder / "_ledger").mkdir()
    pq.write_table(pa.table({"pair_id": ["p"]}), folder / "_ledger/0.parquet")
    (folder / "data/._train.parquet").write_bytes(b"left by a Mac")
    return folder


def test_the_files_alone_give_what_the_run_gives(pairs, downloaded):
    expected = seen(of(pairs))
    assert len(expected) == 8
    assert of(downloaded).files() == ["data/train-00000.parquet", "data/train-00001.parquet"]
    for path in (downloaded, downloaded / "data"):
        assert seen(of(path)) == expected
    singles = [seen(of(downloaded / f"data/train-0000{number}.parquet")) for number in range(2)]
    assert singles[0] + singles[1] == expected
    assert len(singles[0]) == 4


def test_a_subject_counts_once_though_its_pairs_lie_in_two_files(pairs, tmp_path):
    shutil.copytree(pairs / "data", tmp_path / "data")
    assert len(list((tmp_path / "data").glob("*.parquet"))) == 4
    found = seen(of(tmp_path))
    assert sorted(key for key, *_ in found) == sorted(key for key, *_ in seen(of(pairs)))
    subjects = [images["subject"] for *_, images in found if "subject" in images]
    assert len(subjects) == len(set(subjects)) == 2


def test_subjects_of_a_bank(tmp_path):
    make_bank(str(tmp_path / "bank"))
    assert seen(of(tmp_path / "bank/data")) == seen(of(tmp_path / "bank"))


def test_rejected_rows_are_left_out(downloaded):
    path = downloaded / "data/train-00001.parquet"
    table = pq.read_table(path)
    status = pa.array(["accepted", "rejected", "accepted", "rejected"], table.schema.field("status").type)
    changed = table.set_column(table.schema.get_field_index("status"), table.schema.field("status"), status)
    pq.write_table(changed, path)
    ids = table.column("pair_id").to_pylist()
    assert [key for key, *_ in seen(of(path))] == [ids[0], ids[2]]


def test_a_broken_file_breaks_alone(downloaded):
    whole = seen(of(downloaded))
    path = downloaded / "data/train-00000.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    source = of(downloaded)
    first, second = source.files()
    with pytest.raises(BrokenFile, match=r"data/train-00000\.parquet: not a sound Parquet file"):
        list(source.read(first))
    assert [record.key for record in source.read(second)] == [key for key, *_ in whole[4:]]


@pytest.mark.parametrize("name", ["none.parquet", "empty", "nowhere"])
def test_nothing_there_is_one_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    missing = "none.parquet" if name == "none.parquet" else "run.json, data/*.parquet or *.parquet"
    with pytest.raises(
        DataError, match=re.escape(f"no {missing} there; format=run is the output of jobs/generate.py or ")
    ):
        of(tmp_path / name).files()


def test_parquet_of_something_else_is_one_line_before_anything_starts(tmp_path):
    pq.write_table(pa.table({"image": [b""], "text": ["a cat"]}), tmp_path / "0.parquet")
    with pytest.raises(DataError, match=r"0.parquet: columns missing or of another type than in a run: input_image, "):
        of(tmp_path).files()
