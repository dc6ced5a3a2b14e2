"""Thresholds of the filter follow from its encoders' scores; the embedded encoders tell true pairs from false ones."""

import numpy as np
import pytest
import torch

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.scores import ClipScorer, DinoScorer
from toffee_pipeline.recipe.pairs import render_subjects
from toffee_pipeline.recipe.prompts import UNDONE
from toffee_pipeline.recipe.verdicts import HOPELESS, Verdicts, clip_verdicts, dino_verdicts

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
CONFIG = load_config("nano")


def test_thresholds_look_at_the_worst_kind():
    easy, hard, false = (np.linspace(low, high, 101).tolist() for low, high in ((0.8, 1), (0, 1), (-1, 1)))
    verdicts = Verdicts({"easy": easy, "hard": hard}, {"false": false, f"edit, {HOPELESS}": easy})
    keeping, refusing = verdicts.keeping(0.85), verdicts.refusing(0.9)
    assert keeping == pytest.approx(0.15, abs=0.011) and refusing == pytest.approx(0.8, abs=0.011)
    assert verdicts.passed(keeping) == {"easy": 1.0, "hard": pytest.approx(0.85, abs=0.02)}
    assert verdicts.refused(refusing) == {
        "false": pytest.approx(0.9, abs=0.02),
        f"edit, {HOPELESS}": pytest.approx(0, abs=0.06),
    }


@pytest.fixture(scope="module")
def unseen():
    return render_subjects(range(40_000_000, 40_000_040))


@pytest.fixture(scope="module")
def judged_by_clip(unseen):
    return clip_verdicts(ClipScorer(CONFIG.models.clip, CPU).score, unseen)


def test_the_embedded_dino_accepts_true_pairs_and_refuses_other_subjects(unseen):
    verdicts = dino_verdicts(DinoScorer(CONFIG.models.filter_dino, CPU).encode, unseen)
    passed, refused = (share(CONFIG.stages.judge.min_dino) for share in (verdicts.passed, verdicts.refused))
    assert len(passed) == 2 * len(CATEGORIES)
    assert min(passed.values()) >= 0.7
    assert all(refused[f"{kind}, {name}"] >= 0.8 for kind in ("edit", "generation") for name in ("same shape", "other"))


def test_the_embedded_clip_accepts_true_targets_and_refuses_unchanged_ones(judged_by_clip):
    threshold = CONFIG.stages.judge.min_clip
    passed, refused = (share(threshold) for share in (judged_by_clip.passed, judged_by_clip.refused))
    assert passed.keys() == {*CATEGORIES, UNDONE} and min(passed.values()) >= 0.7
    at_least = {"style": 0.8, "background": 0.8, "addition": 0.6, UNDONE: 0.4}
    assert all(refused[f"{kind}, unchanged"] >= share for kind, share in at_least.items())


def test_what_an_addition_added_and_undid_is_scored_better_with_it_and_without(judged_by_clip):
    scores = judged_by_clip
    for kind in ("addition", UNDONE):
        true, false = (np.array(each) for each in (scores.true[kind], scores.false[f"{kind}, unchanged"]))
        assert (true > false).mean() >= 0.8  # of one subject, with and without
