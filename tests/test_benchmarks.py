"""The benchmarks' parts that need neither Ray nor time: what they measure must stay what they say."""

import pytest

from actors.base import Shard
from actors.guard import NoGuard
from actors.write import count
from benchmarks import overhead, plan_scale, stub_stage
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.plan import Plan


def test_the_plans_figures_are_there_for_a_plan_of_less_than_a_shard():
    figures = plan_scale.measure("sdxl", 8)
    assert all(value >= 0 for value in figures.values())
    assert 0 < figures["allocated peak MiB"] < 10


def test_the_stub_stage_decides_every_pair_and_leaves_no_image_out(nano):
    config = nano("pairs.count=9", "subjects_per_shard=3")
    shard = stub_stage.Stub(config, ModelSet(config), lambda *_: None, NoGuard())(Shard.from_plan(Plan(config), 0))
    counts = count(shard)
    assert (counts["accepted"], counts["rejected"], counts["failed"]) == (6, {"low_dino": 3}, 0)
    assert all(state.input and state.target and state.draft for state in shard.pairs)


def test_the_steady_time_starts_when_every_actor_is_warm():
    commits = [(10.0, 1), (11.0, 0), (12.0, 3), (13.0, 2), (14.5, 4), (16.0, 5)]
    assert overhead.steady(commits, 1) == (5.0, [3, 2, 4, 5])
    assert overhead.steady(commits, 2) == (pytest.approx(3.0), [4, 5])
