"""What a profile of the package fetches is named so that nobody can change it under the user."""

import re

import pytest

from toffee_pipeline.config.base import ModelSpec, SegmenterSpec
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.config.load import CONFIGS, PROFILES, load_config, profile_names


def specs(model):
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, ModelSpec):
            yield name, value
        elif hasattr(type(value), "model_fields"):
            yield from specs(value)


@pytest.mark.parametrize(
    ("kind", "profile"),
    [(kind, name) for kind in CONFIGS if (PROFILES / kind.job).is_dir() for name in profile_names(kind.job)],
)
def test_weights_have_a_commit_or_a_digest(kind, profile):
    config = load_config(profile, (), kind)
    if isinstance(config, ExpansionConfig) and config.backend == "http":
        return  # the server has the weights
    for name, spec in specs(config):
        if spec.weights == "pretrained" and spec.id is not None:
            assert re.fullmatch("[0-9a-f]{40}", spec.revision or ""), f"{name}: {spec.id}"
        if isinstance(spec, SegmenterSpec) and spec.weights == "pretrained":
            assert spec.sha256 is not None
