"""What the driver shows of a training."""

import io
import re

import pytest

from toffee_pipeline.console import training as progress
from toffee_pipeline.console.training import ProgressLine

FIGURES = {"step": 120, "loss": 0.3141, "lr": 1e-3, "images_per_s": 40.23, "grad_norm": 0.8, "broken": 2}
TEXT = "120/1000 steps, loss 0.3141, lr 1.00e-03, 40.2 images/s, gradient norm 0.800, 2 broken samples, "


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(progress, "time", clock := Clock())
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_every_ten_seconds_and_at_the_end(clock):
    stream = io.StringIO()
    with ProgressLine(1000, stream) as line:
        for step in range(100, 125):
            line.update(FIGURES | {"step": step})
            clock.now += 1
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["110/1000", "120/1000", "124/1000"]
    assert lines[1] == f"{TEXT}0:00:20 elapsed, 0:14:40 left"


def test_time_left_counts_from_the_first_update(clock):
    line = ProgressLine(1000, io.StringIO())
    clock.now += 3600  # workers start, the cache is filled
    line.update({"step": 500})
    assert line.text() == "500/1000 steps, 1:00:00 elapsed, unknown left"
    clock.now += 10
    line.update({"step": 510})
    assert line.text() == "510/1000 steps, 1:00:10 elapsed, 0:08:10 left"


def test_nothing_was_done(clock):
    stream = io.StringIO()
    with ProgressLine(1000, stream):
        pass
    assert stream.getvalue() == "0/1000 steps, 0:00:00 elapsed, unknown left\n"


def test_other_figures_are_left_out(clock):
    line = ProgressLine(1000, io.StringIO())
    line.update(FIGURES | {"data_wait": 0.1})
    assert line.text() == f"{TEXT}0:00:00 elapsed, unknown left"


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with ProgressLine(1000, stream) as line:
        line.update(FIGURES)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "━" in shown and "120/1000 steps" in shown
