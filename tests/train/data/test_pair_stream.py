"""Exports read again: by the trainings' sources, and by a PyTorch DataLoader that stops and goes on."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from torch.utils.data import DataLoader

from jobs.export import main
from tests.helpers.planned_run import write_planned_run
from tests.helpers.repeated import in_every_row, packed
from tests.helpers.s3 import BUCKET
from tests.helpers.training import make_config, make_reader
from toffee_pipeline.config.train import ExportSource, RunSource, ToffeeNetTraining
from toffee_pipeline.errors import BrokenFile, DataError
from toffee_pipeline.images import decode, decode_mask
from toffee_pipeline.storage import LocalStorage, open_storage
from toffee_pipeline.train.data.pair_stream import PairStream
from toffee_pipeline.train.data.sources import make_source

pytestmark = pytest.mark.slow

FORMATS = ("huggingface", "webdataset", "lance", "imagefolder")


def export(run, output, form, *more):
    words = (str(run), "--format", form, "--output", str(output), "--part-mib", "1", *more)
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run `run` and its exports, by the names of their formats, with all pairs in the split `train`;
    and the run's accepted rows by pair id."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = write_planned_run(LocalStorage(str(folder / "run")))
    for form in FORMATS:
        export(folder / "run", folder / form, form, "--split", "train=1")
    return folder, rows


def stream_of(path, **options):
    return PairStream(ExportSource(format="export", path=str(path)), 64, **options)


@pytest.mark.parametrize("form", FORMATS)
def test_an_epoch_gives_every_pair_once_as_it_is(run, form):
    folder, rows = run
    found = {sample["pair_id"]: sample for sample in stream_of(folder / form, num_epochs=1)}
    assert sorted(found) == sorted(rows)
    for name, sample in found.items():
        row = rows[name]
        assert np.array_equal(sample["target"], decode(row["target_image"]["bytes"]))
        assert np.array_equal(sample["input"], decode(row["input_image"]["bytes"]))
        edited = decode_mask(row["mask"]["bytes"]) if row["kind"] == "edit" else np.ones((64, 64), bool)
        assert np.array_equal(sample["mask"], edited)
        assert sample["prompt"] == row["prompt"] and sample["kind"] == row["kind"]


def test_a_long_text_in_every_row_of_an_export_takes_no_memory(run, tmp_path):
    """1 GiB in some kB."""
    folder = Path(shutil.copytree(run[0] / "imagefolder", tmp_path / "export"))
    path = next(folder.glob("train/*/metadata.parquet"))
    rows = pq.read_table(path).take(pa.array(np.zeros(1024, np.int64))).drop_columns("prompt")
    path.write_bytes(packed(rows.append_column("prompt", in_every_row("x" * (1 << 20), 1024))))
    before, source = pa.default_memory_pool().max_memory(), make_source(ExportSource(format="export", path=str(folder)))
    with pytest.raises(BrokenFile, match="metadata.parquet: not a sound Parquet file: row group 0 holds more"):
        list(source.read(path.relative_to(folder).as_posix()))
    assert pa.default_memory_pool().max_memory() <= max(before, 512 << 20)


def learned(source, path):
    """Texts and the sum of the depths that a training reads."""
    source = f"data.sources=[{{format: {source}, path: '{path}'}}]"
    reader = make_reader(make_config(ToffeeNetTraining, source, "reconstruction_probability=0"))
    blocks = [block for read in range(reader.reads_per_epoch) for block in reader.blocks(read)]
    assert all(not block["error"].any() for block in blocks)
    keys = [key for block in blocks for key in zip(block["text"], block["target"].tobytes(), strict=False)]
    return sorted(text for text, _ in keys), sum(block["depth"].astype(float).sum() for block in blocks)


@pytest.fixture(scope="module")
def learned_from_the_run(run):
    return learned("run", run[0] / "run")


@pytest.mark.parametrize("form", FORMATS)
def test_a_training_learns_from_an_export_as_from_the_run(run, learned_from_the_run, form):
    texts, depth = learned("export", run[0] / form)
    expected_texts, expected_depth = learned_from_the_run
    assert texts == expected_texts and np.isclose(depth, expected_depth)


@pytest.fixture(scope="module")
def bucket_run(endpoint):
    """A run in S3: its URI and its rows."""
    uri = f"s3://{BUCKET}/pair-stream/run"
    return uri, write_planned_run(open_storage(uri, endpoint), 16)


@pytest.mark.parametrize("form", FORMATS)
def test_from_s3(s3, bucket_run, form):
    (uri, endpoint), (run, rows) = s3, bucket_run
    export(run, f"{uri}/export", form, "--split", "train=1", "--endpoint-url", endpoint)
    source = ExportSource(format="export", path=f"{uri}/export", endpoint_url=endpoint)
    assert sorted(sample["pair_id"] for sample in PairStream(source, 64, num_epochs=1)) == sorted(rows)


def load(stream, num_batches=None):
    """Batches of a DataLoader with two workers, which notes what was used."""
    loader = DataLoader(stream, batch_size=5, num_workers=2)
    for batch in itertools.islice(loader, num_batches):
        stream.seen(batch)
        yield batch


def ids(batches):
    return [list(batch["pair_id"]) for batch in batches]


@pytest.mark.parametrize("form", ["huggingface", "webdataset"])
def test_it_goes_on_in_the_middle_of_an_epoch(run, form):
    folder, rows = run
    whole = ids(load(stream_of(folder / form, num_workers=2, num_epochs=2)))
    assert ids(load(stream_of(folder / form, num_workers=2, num_epochs=2))) == whole
    assert sorted(itertools.chain(*whole)) == sorted([*rows] * 2)
    stopped = stream_of(folder / form, num_workers=2, num_epochs=2)
    first = ids(load(stopped, 4))
    again = stream_of(folder / form, num_workers=2, num_epochs=2)
    again.load_state_dict(stopped.state_dict())
    rest = ids(load(again))
    assert first == whole[:4] and rest  # batches are cut anew, the samples are the others
    assert sorted(itertools.chain(*first, *rest)) == sorted([*rows] * 2)


def test_epochs_have_orders_of_their_own_and_ranks_share_them(run):
    folder, rows = run
    once = [sample["pair_id"] for sample in stream_of(folder / "huggingface", num_epochs=1)]
    twice = [sample["pair_id"] for sample in stream_of(folder / "huggingface", num_epochs=2)]
    assert twice[: len(once)] == once and twice[len(once) :] != once
    assert [s["pair_id"] for s in stream_of(folder / "huggingface", num_epochs=1, seed=1)] != once
    shares = [list(stream_of(folder / "huggingface", num_epochs=1, rank=rank, num_ranks=2)) for rank in range(2)]
    found = [[sample["pair_id"] for sample in share] for share in shares]
    assert all(found) and sorted(itertools.chain(*found)) == sorted(rows)


def test_with_another_number_of_workers_it_goes_on_near_by(run):
    folder, rows = run
    one = stream_of(folder / "huggingface", num_epochs=2)
    seen = []
    for sample in itertools.islice(one, len(rows) + 3):
        one.seen({name: [sample[name]] for name in ("read", "row")})
        seen.append(sample["pair_id"])
    two = stream_of(folder / "huggingface", num_epochs=2, num_workers=2)
    two.load_state_dict(one.state_dict())
    rest = list(itertools.chain(*ids(load(two))))
    assert set(seen[len(rows) + 3 :] + rest) <= set(rows) and len(rows) - 3 <= len(rest) <= len(rows)


def test_a_run_streams_too(run):
    folder, rows = run
    stream = PairStream(RunSource(format="run", path=str(folder / "run")), 64, num_epochs=1)
    assert sorted(sample["pair_id"] for sample in stream) == sorted(rows)


def test_no_pairs_of_the_split_is_one_line(run):
    source = ExportSource(format="export", path=str(run[0] / "webdataset"), split="test")
    with pytest.raises(DataError, match="no pairs of split 'test'"):
        make_source(source).files()


def test_another_number_of_workers_than_it_was_told(run):
    with pytest.raises(ValueError, match="num_workers=1"):
        next(iter(stream_of(run[0] / "huggingface", num_workers=1)))
