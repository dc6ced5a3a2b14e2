"""Whoever publishes a run of a profile is told the licence of every model that it names."""

import pytest

from tests.config.test_pins import specs
from toffee_pipeline.config.base import ModelSpec, SegmenterSpec
from toffee_pipeline.config.load import CONFIGS, PROFILES, load_config, profile_names
from toffee_pipeline.export.licenses import license_of


@pytest.mark.parametrize(
    ("kind", "profile"),
    [(kind, name) for kind in CONFIGS if (PROFILES / kind.job).is_dir() for name in profile_names(kind.job)],
)
def test_every_model_of_a_profile_has_one(kind, profile):
    for name, spec in specs(load_config(profile, (), kind)):
        if spec.weights == "pretrained" and (spec.id is not None or isinstance(spec, SegmenterSpec)):
            assert "not known" not in license_of(spec), name


def test_of_others_it_is_said_that_none_is_known():
    assert "see its card" in license_of(ModelSpec(id="somebody/something"))
    assert "a local file" in license_of(SegmenterSpec(path="my.pth", sha256="0" * 64))
