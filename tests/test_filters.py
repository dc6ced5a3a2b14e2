"""The tables of scores and reasons, and the verdict that follows from them."""

import pytest

from toffee_pipeline.config.stages import JudgeConfig, SegmentConfig, StagesConfig
from toffee_pipeline.filters import MASK_BOUNDS, REASONS, SCORES, decide, decide_mask
from toffee_pipeline.models.roles import ROLES
from toffee_pipeline.schema.pairs import PAIRS

STRICT = JudgeConfig(min_dino=0.5, max_dino=0.9, min_hash_distance=10, min_change=8, min_clip=0.3, min_clip_gain=0.05)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"dino": 0.5, "clip": 0.3}, None),  # a bound itself passes
        ({"dino": 0.9, "clip": 0.3}, None),
        ({"dino": 0.49, "clip": 0.0}, "low_dino"),  # the subject is judged first
        ({"dino": 0.91, "clip": 0.0}, "high_dino"),
        ({"dino": 0.9, "hash_distance": 9, "clip": 0.0}, "copied"),
        ({"dino": 0.9, "hash_distance": 10, "clip": 0.3}, None),
        ({"dino": 0.6, "clip": 0.29}, "low_clip"),
        ({"dino": 0.6, "clip": 0.3, "clip_gain": 0.04}, "low_clip_gain"),
        ({"dino": 0.6, "clip": 0.3, "clip_gain": 0.05}, None),
        ({"dino": 0.6}, None),  # a score that is off judges nothing
    ],
)
def test_the_first_bound_that_is_missed_is_the_reason(scores, reason):
    assert decide(scores, STRICT, "generation") == reason


@pytest.mark.parametrize(("change", "reason"), [(7.9, "unchanged"), (8, None)])
def test_an_edit_may_keep_most_of_its_input_and_must_change_something(change, reason):
    assert decide({"dino": 0.99, "change": change, "clip": 0.3}, STRICT, "edit") == reason


def test_null_switches_a_bound_off():
    none = JudgeConfig(**dict.fromkeys(JudgeConfig.model_fields))
    scores = {"dino": -1.0, "hash_distance": 0.0, "change": 0.0, "clip": -1.0, "clip_gain": -2.0}
    assert decide(scores, none, "generation") is None


def test_a_mask_must_be_there_and_neither_too_small_nor_too_large():
    config = SegmentConfig(min_fraction=0.1, max_fraction=0.8)
    found = [decide_mask(fraction, config) for fraction in (None, 0.05, 0.1, 0.8, 0.9)]
    assert found == ["no_mask", "mask_too_small", None, None, "mask_too_large"]


def test_the_tables_agree_with_settings_roles_and_columns():
    settings = StagesConfig()
    bounds = [*MASK_BOUNDS, *(bound for score in SCORES for bound in score.bounds)]
    assert all(hasattr(getattr(settings, bound.stage), bound.key) for bound in bounds)
    judged = {bound.key for bound in bounds if bound.stage == "judge"}
    assert judged == set(JudgeConfig.model_fields)  # no threshold without a score
    assert {score.role for score in SCORES} <= ROLES.keys()
    for score in SCORES:
        assert score.column in PAIRS.ledger.names and score.column in PAIRS.data.names
    assert all(row.sentence for row in REASONS.values())


def test_a_reason_is_explained_with_the_runs_own_threshold():
    stages = StagesConfig(judge=JudgeConfig(min_clip=0.25))
    assert REASONS["low_clip"].explain(stages) == "the target does not follow its prompt: CLIP below 0.25"
    assert REASONS["no_mask"].explain(stages) == "the subject was not found in its image"
