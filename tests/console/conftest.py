import pytest


class Clock:
    """Stands until a test moves it."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now():
    return Clock()
