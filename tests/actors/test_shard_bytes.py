"""What a shard holds survives its way between processes."""

from dataclasses import asdict

import numpy as np

from actors.pictures import PictureShard
from actors.shard import Shard
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
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
