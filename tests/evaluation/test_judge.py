"""What the figures of many pairs say."""

import math

import numpy as np
import pytest

from toffee_pipeline.evaluation.judge import METRICS, Judge, Scored, group
from toffee_pipeline.models.model_set import ModelSet


def scored(picture: str, seed: int = 0, **scores: float) -> Scored:
    return Scored(seed, "style", picture, dict.fromkeys(METRICS, 0.5) | scores)


def test_the_share_of_the_gap_that_refining_closed():
    rows = [
        scored("draft", dino=0.2, error=40, clip_t=0.4),
        scored("refined", dino=0.5, error=10, clip_t=0.3),
        scored("oracle", dino=0.6, error=0, clip_t=0.4),
    ]
    found = group(rows)
    assert found.num_pairs == 1
    assert found.gap_share["dino"].value == pytest.approx(0.75) == found.gap_share["error"].value
    assert found.clip_t_change.value == pytest.approx(-0.25)


def test_no_gap_where_the_oracle_is_no_better_than_the_draft():
    rows = [scored("draft", clip_i=0.6), scored("refined", clip_i=0.9), scored("oracle", clip_i=0.6)]
    assert math.isnan(group(rows).gap_share["clip_i"].value)


def test_another_setting_takes_the_place_of_the_refined_picture():
    rows = [scored("draft", dino=0.0), scored("refined", dino=0.5), scored("g=0.3", dino=1.0), scored("oracle", dino=1)]
    assert group(rows, "g=0.3").gap_share["dino"].value == 1


def test_a_picture_is_like_itself(nano):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2)]
    masks = [np.ones((64, 64), np.bool_)] * 2
    judge = Judge(ModelSet(nano()), images, images, masks, ["a mug", "a cake"])
    same, other = judge.scores(images), judge.scores(images[::-1])
    for scores in same:
        assert scores.keys() == set(METRICS)
        assert [scores[metric] for metric in ("dino", "clip_i", "seg_clip_i")] == pytest.approx([1, 1, 1])
        assert scores["error"] == 0
    assert other[0]["dino"] < 1 and other[0]["error"] > 50
