"""What a shard holds survives its way between processes."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from actors.pictures import PictureShard
from actors.shard import Shard
from actors.shard_bytes import PAIRS, SUBJECTS, shard_from_bytes, shard_to_bytes
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.plan.plan import Plan


def filled(nano) -> Shard:
    """A shard in which each field of some subject and some pair has a value, and others have none."""
    shard = Shard.from_plan(Plan(nano("pairs.count=16", "subjects_per_shard=2")), 1)
    subject, pair = next(iter(shard.subjects.values())), shard.pairs[0]
    subject.image, subject.mask, subject.depth = b"image", b"\0\xff", b""
    subject.mask_reason = "mask_too_small"
    subject.tokens = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16)
    subject.stage_s = {"synthesize": 0.1, "segment": 1 / 3}
    subject.fail("synthesize: cannot be read", "unreadable")
    pair.draft, pair.target, pair.input, pair.edit_mask = b"draft", b"target", b"input", b"mask"
    pair.scores, pair.stage_s = {"dino": 0.1 + 0.2, "clip": -1.0}, {"draft": 1e-9}
    pair.reject("low_dino")
    shard.pairs[1].fail("draft: out of memory, alone in its micro-batch")
    return shard


def test_a_shard_comes_back_as_it_went(nano):
    shard = filled(nano)
    back = shard_from_bytes(shard.index, shard_to_bytes(shard))
    assert back.index == shard.index and list(back.subjects) == list(shard.subjects)
    tokens = [state.tokens for state in back.subjects.values()]
    np.testing.assert_array_equal(tokens[0], next(iter(shard.subjects.values())).tokens)
    assert tokens[0].dtype == np.float16 and tokens[1] is None
    for one in (*shard.subjects.values(), *back.subjects.values()):
        one.tokens = None  # compared above
    assert asdict(back) == asdict(shard)
    assert back.subject_of(back.pairs[0]) is back.subjects[shard.pairs[0].pair.subject_id]


def test_a_shard_of_pictures_comes_back_as_it_went(tmp_path):
    settings = ("benchmark.max_subjects=2", "benchmark.max_prompts=1", f"images={tmp_path}")
    shard = PictureShard.from_plan(EvaluationPlan(load_config("nano", settings, EvaluationConfig)), 1)
    first, second, *_ = shard.pictures
    first.image, first.mask, first.scores, first.stage_s = (
        b"image",
        b"\0\xff",
        {"dino_toffee": 0.1 + 0.2},
        {"score": 1e-9},
    )
    second.fail("read: no such file")
    back = shard_from_bytes(shard.index, shard_to_bytes(shard))
    assert asdict(back) == asdict(shard) and back.pictures[-1].picture.prompt == "a photo of a teapot on the grass"


def test_a_shard_that_nobody_has_worked_on_is_small(nano):
    shard = Shard.from_plan(Plan(nano("pairs.count=8", "subjects_per_shard=2")), 0)
    assert asdict(shard_from_bytes(0, shard_to_bytes(shard))) == asdict(shard)
    assert len(shard_to_bytes(shard)) < 10_000


def stream(schema: pa.Schema, rows=(), **options) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), schema))
    return sink.getvalue().to_pybytes()


ROW = {"subject_id": "s", "class_name": "a", "prompt": "b", "seed": 1, "status": "ok", "scores": [], "stage_s": []}
GARBAGE = {
    "nothing": b"",
    "text": b"no Arrow stream",
    "other columns": stream(pa.schema([pa.field("a", pa.string())])),
    "one table": stream(SUBJECTS),
    "compressed": stream(SUBJECTS, [ROW | {"image": bytes(2**24)}], compression="zstd") + stream(PAIRS),
    "tokens of another shape": stream(SUBJECTS, [ROW | {"tokens": bytes(6), "num_tokens": 2}]) + stream(PAIRS),
    "tokens of no shape": stream(SUBJECTS, [ROW | {"tokens": bytes(6)}]) + stream(PAIRS),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_shard_is_damaged(what):
    with pytest.raises(DamagedFile, match="^theirs: damaged: .+"):
        shard_from_bytes(0, GARBAGE[what], "theirs")


def test_every_cut_and_flipped_byte_is_damaged_or_read(nano):
    whole = shard_to_bytes(filled(nano))
    for at in range(0, len(whole), 97):
        flipped = bytearray(whole)
        flipped[at] ^= 0xFF
        for data in (whole[:at], bytes(flipped)):
            try:
                shard_from_bytes(0, data)
            except DamagedFile as error:
                assert len(str(error).splitlines()) == 1
