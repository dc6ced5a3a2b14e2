"""A run directory opened as a dataset."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.shard import Shard
from actors.write import Write
from tests.helpers.repeated import in_every_row, packed
from tests.helpers.s3 import BUCKET, CREDENTIALS, make_bucket, s3_server
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import DamagedFile, NoRun
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.dataset import load_pairs
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS, PAIRS
from toffee_pipeline.storage import open_storage

datasets = pytest.importorskip("datasets")
GREY = np.full((64, 64, 3), 128, np.uint8)


def run(output: str, num_accepted: int, endpoint: str = "null") -> str:
    """A run of one shard of four pairs, without models; the others are rejected."""
    settings = ("pairs.count=4", "pairs.per_subject=4", "subjects_per_shard=1", f"output.endpoint_url={endpoint}")
    config = load_config("nano", settings)
    plan = Plan(config)
    claim(open_storage(output, config.output.endpoint_url), GenerationRun.of(config, plan, {}))
    shard = Shard.from_plan(plan, 0)
    for subject in shard.subjects.values():
        subject.image, subject.mask = encode_png(GREY), encode_mask(np.ones((64, 64), np.bool_))
        subject.depth = encode_depth(np.zeros((64, 64), np.float32))
    for number, state in enumerate(shard.pairs):
        state.input = state.target = subject.image
        state.edit_mask, state.scores = subject.mask, {"dino": 0.9, "clip": 0.9}
        if number < num_accepted:
            state.status = "accepted"
        else:
            state.reject("low_dino")
    Write(config, output)(shard)
    return output


def test_accepted_pairs_are_rows_with_decoded_images(tmp_path):
    pairs = load_pairs(run(str(tmp_path / "run"), 3), cache_dir=str(tmp_path / "cache"))
    assert len(pairs) == 3 and set(pairs["status"]) == {"accepted"}
    assert (np.asarray(pairs[0]["target_image"]) == GREY).all()


def test_a_run_on_s3_is_opened_alike(tmp_path, monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as endpoint:
        make_bucket(endpoint)
        uri = run(f"s3://{BUCKET}/{tmp_path.name}/run", 3, endpoint)
        pairs = load_pairs(uri, endpoint, cache_dir=str(tmp_path / "cache"))
    assert len(pairs) == 3 and (np.asarray(pairs[0]["target_image"]) == GREY).all()


def test_a_run_without_accepted_pairs_opens_with_the_columns_of_any_other(tmp_path):
    none = load_pairs(run(str(tmp_path / "none"), 0), cache_dir=str(tmp_path / "cache"))
    some = load_pairs(run(str(tmp_path / "some"), 1), cache_dir=str(tmp_path / "cache"))
    assert len(none) == 0 and none.column_names == PAIRS.data.names
    assert none.features == some.features
    assert all(isinstance(none.features[column], datasets.Image) for column in IMAGE_COLUMNS)
    assert len(datasets.concatenate_datasets([none, some])) == 1


def test_a_mistyped_place_is_no_empty_dataset(tmp_path):
    with pytest.raises(NoRun, match="no such file"):
        load_pairs(str(tmp_path / "nothing"))


def test_a_file_that_expands_is_refused_before_it_is_opened(tmp_path):
    """4 GiB in some kB."""
    output = run(str(tmp_path / "run"), 3)
    path = next((tmp_path / "run/data").glob("*.parquet"))
    rows = pq.read_table(path).take(pa.array(np.zeros(4096, np.int64))).drop_columns("prompt")
    path.write_bytes(packed(rows.append_column("prompt", in_every_row("x" * (1 << 20), 4096))))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(DamagedFile, match=f"{path.name}: not a sound Parquet file: row group 0 holds more"):
        load_pairs(output, cache_dir=str(tmp_path / "cache"))
    assert pa.default_memory_pool().max_memory() <= max(before, 1536 << 20)
    assert not (tmp_path / "cache").exists()
