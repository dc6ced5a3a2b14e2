"""A dataset that trainings learn from."""

import pytest

from tests.helpers.training_job import write_pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """The directory of a run with eight accepted pairs, to be read only."""
    output = tmp_path_factory.mktemp("runs") / "run"
    write_pairs(output)
    return output
