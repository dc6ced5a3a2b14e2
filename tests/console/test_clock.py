import pytest

from toffee_pipeline.console.clock import clock


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00:00"), (59.6, "0:01:00"), (86_399, "23:59:59"), (90_061, "1 d 1:01:01")]
)
def test_clock(seconds, shown):
    assert clock(seconds) == shown
