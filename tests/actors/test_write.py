"""What is written of a pair, and what is never written."""

import imagehash
import numpy as np
import pyarrow.parquet as pq
import pytest

from actors.shard import Shard
from actors.write import Write
from tests.helpers.stub_stages import DEPTH, picture
from toffee_pipeline.images import decode, encode_mask, encode_png
from toffee_pipeline.pixels import perceptual_hash
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.layout import DATA, LEDGER
from toffee_pipeline.rundir.manifests import committed_shards, data_files
from toffee_pipeline.storage import open_storage


@pytest.fixture
def shard(nano):
    """Four accepted edit pairs of two subjects; each inverts its subject inside a square mask."""
    config = nano("pairs.count=4", "pairs.per_subject=2", "pairs.edit_fraction=1", "subjects_per_shard=2")
    shard = Shard.from_plan(Plan(config), 0)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    for subject in shard.subjects.values():
        subject.image, subject.mask, subject.depth = picture(subject.subject.seed), encode_mask(mask), DEPTH
    for state in shard.pairs:
        before = shard.subject_of(state).rgb()
        state.input, state.edit_mask = shard.subject_of(state).image, encode_mask(mask)
        state.target = encode_png(np.where(mask[..., None], 255 - before, before))
        state.status = "accepted"
    return config, shard


def test_a_row_has_its_subjects_perceptual_hash(shard, tmp_path):
    config, shard = shard
    shard.pairs[3].fail("draft: out of memory")
    Write(config, str(tmp_path))(shard)
    for folder, number in ((DATA, 3), (LEDGER, 4)):
        rows = pq.read_table(data_files(open_storage(str(tmp_path)), folder)).to_pylist()
        assert len(rows) == number
        for row in rows:
            subject = shard.subjects[row["subject_id"]]
            assert imagehash.hex_to_hash(row["subject_phash"]) - perceptual_hash(subject.rgb()) == 0


@pytest.mark.parametrize("status", ["accepted", "rejected"])
def test_an_edit_that_differs_outside_its_mask_ends_the_run_before_anything_is_written(shard, tmp_path, status):
    config, shard = shard
    broken = shard.pairs[1]
    target = decode(broken.target)
    target[5, 6:8, 0] ^= 1
    broken.target, broken.status = encode_png(target), status
    with pytest.raises(RuntimeError, match=f"{broken.id}: input and target differ in 2 pixels outside the editing"):
        Write(config, str(tmp_path))(shard)
    assert not committed_shards(open_storage(str(tmp_path)))
