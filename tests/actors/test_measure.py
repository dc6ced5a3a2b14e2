"""What a stage costs, on the nano networks: figures that mean what they say, and a sample that no verdict shortens."""

import pytest

from actors.chain import StageChain
from actors.guard import NoGuard
from actors.measure.run import apart, measure, with_random_weights
from actors.measure.sample import first_shards, one_of_each, take_all_on
from actors.measure.stage import largest_batch_size, next_size
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from actors.stages.judge import Judge
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.errors import RunError
from toffee_pipeline.images import decode


@pytest.fixture
def config(nano):
    return nano("pairs.count=16", "pairs.edit_fraction=0.5", "stages.draft.sampling.num_inference_steps=2")


def filled(config, *stages):
    """The plan's shards with what stands in for these stages' work."""
    shards = first_shards(config, 16)
    for shard in shards:
        for stage in stages:
            take_all_on(shard, stage, config.size_px)
    return shards


def as_bytes(shards):
    return [shard_to_bytes(shard) for shard in shards]


@pytest.mark.slow
def test_a_stage_tells_its_rows_seconds_and_memory(config):
    data = as_bytes(filled(config, "synthesize", "segment", "depth"))
    found, after = apart("draft", "measure_stage", config, "draft", data)
    painted = [state for data in after for state in shard_from_bytes(0, data).pairs_to_paint()]
    assert len(after) > 1
    assert found.rows == len(painted) > 0
    assert 0 < found.outside_s < found.seconds
    assert found.weights_gib.keys() == {"draft"}
    assert 0 < found.weights_gib["draft"] < found.peak_memory_gib
    assert all(decode(state.draft).shape == (64, 64, 3) for state in painted)


def test_a_sample_without_pairs_is_refused_before_a_stage_is_measured(config):
    shown = []
    with pytest.raises(RunError, match="first 0 pairs"):
        measure(config, 0, 0, lambda name, stage: shown.append(name))
    assert shown == []


def test_every_pair_reaches_every_stage_whatever_becomes_of_it(config):
    shard, *_ = filled(config, *MODEL_STAGES)
    assert {state.status for state in shard.pairs} == {"ok"}
    assert all(state.input and state.target for state in shard.pairs)
    assert all(state.edit_mask for state in shard.pairs if state.pair.kind == "edit")
    for state in shard.pairs:
        state.scores = {"dino": -1.0, "clip": -1.0}
    StageChain(config, [Judge], lambda *_: None, NoGuard())(shard)
    assert "ok" not in {state.status for state in shard.pairs}
    take_all_on(shard, "score", config.size_px)
    assert {state.status for state in shard.pairs} == {"ok"}


def test_the_sample_is_the_plans_and_turns_round_nothing_that_is_not_in_it(config):
    whole = [state for shard in first_shards(config, 10**6) for state in shard.pairs]
    assert len(whole) == 16
    for count in range(1, 16):
        shards = first_shards(config, count)
        ids = {state.id for shard in shards for state in shard.pairs}
        assert ids <= {state.id for state in whole[:count]}
        for shard in shards:
            assert {state.pair.reversed_from for state in shard.pairs} - {None} <= ids
            assert shard.subjects.keys() == {state.pair.subject_id for state in shard.pairs}
    kinds = {(state.pair.kind, state.pair.category) for state in whole if state.pair.reversed_from is None}
    each = one_of_each(first_shards(config, 16))
    assert sorted((state.pair.kind, state.pair.category) for state in each.pairs) == sorted(kinds)
    assert each.subjects.keys() == {state.pair.subject_id for state in each.pairs}


def test_the_probe_tries_no_more_than_it_may(config):
    data = as_bytes(filled(config, "synthesize", "segment", "depth", "draft", "refine", "edit", "view"))
    assert largest_batch_size(config, "score", data, most=4) == 4


def test_the_probe_ends_before_the_limit():
    """Of a stage of 10 that takes at most 1 more per sample, under a limit of 20."""
    for fixed in range(4):
        size = 1
        while size is not None:
            peak = 10 + min(size, fixed + 0.7 * size)
            assert peak <= 20
            last, size = size, next_size(size, 10, peak, 20, most=64)
        assert last >= 8
    assert next_size(8, 10, 12, 100, most=8) is None
    assert next_size(4, 10, 14, 100, most=6) == 6


def test_random_weights_take_the_place_of_pretrained_ones_alone():
    config = with_random_weights(load_config("sdxl"))
    assert {spec.weights for name, spec in config.models if spec is not None} == {"random"}
    assert config.models.sdxl.dtype == "float16"
    assert (config.stages.segment.box_threshold, config.stages.segment.text_threshold) == (0, 0)
    nano = load_config("nano")
    assert with_random_weights(nano) == nano
