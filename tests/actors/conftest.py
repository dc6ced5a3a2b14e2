"""What tests of gates and of safety share."""

import pytest

from jobs.generate import main
from tests.helpers.small_run import run


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """The directory of a small run without gates, to be read only."""
    output = tmp_path_factory.mktemp("plain") / "run"
    run(main, output)
    return output
