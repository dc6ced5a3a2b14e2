"""What the nano encoders' self-test is held against."""

import pytest

from toffee_pipeline.config.evaluate import EvaluationConfig, TrainedModel
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.evaluation.conclude import COLUMNS, expected_real
from toffee_pipeline.evaluation.figures import Figure, SelfTest, group
from toffee_pipeline.evaluation.published import REAL
from toffee_pipeline.evaluation.result import Evaluation
from toffee_pipeline.evaluation.said import drawn_by, lines, same_dino
from toffee_pipeline.models.weights import NANO_WEIGHTS

VALUES = dict.fromkeys(REAL, Figure(0.5, None, None, 3))


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (dict.fromkeys(REAL, 0.503), "Self-test: real against real is within 0.005 of what is published"),
        (dict.fromkeys(REAL, 0.503) | {"seg_dino": 0.51}, "Self-test failed: real against real is not within 0.005"),
        (None, "Self-test: real against real cannot be compared"),
    ],
)
def test_the_self_test_says_what_figures_are_worth_before_it_shows_them(expected, said):
    test = SelfTest(VALUES, expected, "published")
    drawn = group("all", [{"subject_id": "cat", "status": "failed", **dict.fromkeys(COLUMNS)}], COLUMNS)
    kinds = {"by_category": [], "by_group": [], "by_subject": [], "by_prompt": [], "inputs": {}, "libraries": {}}
    found = Evaluation(self_test=test, real=drawn, drawn=drawn, encoders={}, **kinds)
    first, *others = lines(found)
    assert first.startswith(said)
    assert others[-1] == "1 pictures, 1 failed" and others[-2] == "CLIP-T –, copy-paste –"


@pytest.mark.parametrize(
    ("source", "named"), [({"weights": "nano"}, "nano"), ({"path": "/runs/toffeenet"}, "/runs/toffeenet")]
)
def test_a_report_names_the_network_that_drew(source, named):
    model = TrainedModel(**source, training=load_config("nano", (), ToffeeNetTraining))
    config = load_config("nano", (), EvaluationConfig)
    drawn = config.model_copy(update={"models": config.models.model_copy(update={"toffeenet": model})})
    assert drawn_by(drawn).startswith(f"Pictures by ToffeeNet, {named}: 12 steps of ddim")


def test_a_dino_that_scores_what_it_feeds_is_told():
    training = load_config("nano", (), ToffeeNetTraining)
    drawer = TrainedModel(weights="nano", training=training)

    def drawing(settings: EvaluationConfig) -> EvaluationConfig:
        return settings.model_copy(update={"models": settings.models.model_copy(update={"toffeenet": drawer})})

    feeding = config("models.filter_dino.weights=pretrained", f"models.filter_dino.path={NANO_WEIGHTS / 'dino'}")
    trained = training.models.model_copy(update={"dino": feeding.models.filter_dino})
    drawer = drawer.model_copy(update={"training": training.model_copy(update={"models": trained})})
    assert same_dino(drawing(feeding))
    assert not same_dino(drawing(config())) and not same_dino(feeding)


def config(*overrides, profile="nano"):
    return load_config(profile, overrides, EvaluationConfig)


def test_figures_are_stored_for_the_encoders_of_the_package():
    """Encoders that were trained anew need new ones: those that jobs/evaluate.py --config nano prints."""
    expected, _ = expected_real(config())
    assert expected is not None and expected.keys() == REAL.keys()
    assert expected_real(config("models.filter_dino.weights=untrained")) == (
        None,
        "no figures are stored for these encoders",
    )


def test_the_published_figures_are_of_the_whole_benchmark_with_real_encoders():
    assert expected_real(config(profile="dreambench"))[0] == REAL
    assert expected_real(config("benchmark.max_subjects=3", profile="dreambench"))[0] is None
    for other in ("models.clip.weights=nano", "models.clip.architecture=ViT-L-14", "models.filter_dino.id=a/b"):
        assert expected_real(config(other, profile="dreambench"))[0] is None
