"""A training that tests of several files compare with."""

import pytest

from jobs import train_refiner
from tests.helpers.training_job import train


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A Refiner of twelve steps, in one go."""
    output = tmp_path_factory.mktemp("whole") / "run"
    result = train(train_refiner, output, "train.max_steps=12")
    assert result.exit_code == 0, result.output
    return output
