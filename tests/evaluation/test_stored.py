"""What the nano encoders' self-test is held against."""

from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.evaluation.conclude import expected_real
from toffee_pipeline.evaluation.published import REAL


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
    assert expected_real(config("models.clip.weights=nano", profile="dreambench"))[0] is None
