"""What tests of gates and of safety share."""

import pytest

from jobs.generate import main
from tests.helpers.once import once
from tests.helpers.small_run import run


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """The directory of a small run without gates, to be read only."""
    return once(tmp_path_factory, "plain", lambda output: run(main, output))
