"""Plain lines where there is no terminal, a picture where there is one."""

import io
import re

import pytest

from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.console.generation import GenerationDisplay
from toffee_pipeline.console.training import CacheDisplay, TrainingDisplay
from toffee_pipeline.rundir.counts import ShardCounts

FIGURES = {"step": 120, "loss": 0.3141, "lr": 1e-3, "images_per_s": 40.23, "grad_norm": 0.8, "broken": 2}
TEXT = "120/1000 steps, loss 0.3141, lr 1.00e-03, 40.2 images/s, gradient norm 0.800, 2 broken samples, "


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def shown_on(terminal: Terminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


class TestTraining:
    def test_plain_lines_every_ten_seconds_and_at_the_end(self, now):
        stream = io.StringIO()
        with TrainingDisplay(1000, stream, now) as display:
            for step in range(100, 125):
                display.update(FIGURES | {"step": step})
                now.seconds += 1
        lines = stream.getvalue().splitlines()
        assert [line.split()[0] for line in lines] == ["110/1000", "120/1000", "124/1000"]
        assert lines[1] == f"{TEXT}0:00:20 elapsed, 0:14:40 left"

    def test_time_left_counts_from_the_first_update(self, now):
        display = TrainingDisplay(1000, io.StringIO(), now)
        now.seconds += 3600  # workers start, the cache is filled
        display.update({"step": 500})
        assert display.line() == "500/1000 steps, 1:00:00 elapsed, unknown left"
        now.seconds += 10
        display.update({"step": 510})
        assert display.line() == "510/1000 steps, 1:00:10 elapsed, 0:08:10 left"

    def test_nothing_was_done(self, now):
        stream = io.StringIO()
        with TrainingDisplay(1000, stream, now):
            pass
        assert stream.getvalue() == "0/1000 steps, 0:00:00 elapsed, unknown left\n"

    def test_other_figures_are_left_out(self, now):
        display = TrainingDisplay(1000, io.StringIO(), now)
        display.update(FIGURES | {"data_wait": 0.1})
        assert display.line() == f"{TEXT}0:00:00 elapsed, unknown left"

    def test_a_bar_on_a_terminal(self, terminal):
        with TrainingDisplay(1000, terminal) as display:
            display.update(FIGURES)
        assert "━" in shown_on(terminal) and "120/1000 steps" in shown_on(terminal)


class TestGeneration:
    def test_pairs_of_earlier_starts_count_as_done_but_not_as_speed(self, now):
        stream = io.StringIO()
        with GenerationDisplay("pair", 100, 40, MODEL_STAGES, stream, now) as display:
            now.seconds += 20
            display.add_shard(ShardCounts(planned=10, accepted=7))
            display.update({"draft": (12, 3.0), "score": (10, 1.0)})
        first, last = stream.getvalue().splitlines()
        assert first == last
        assert first == "50/100 pairs, 7 accepted, 0.50 pairs/s, 0:00:20 elapsed, 0:01:40 left | draft=12 score=10"

    def test_a_table_of_stages_on_a_terminal(self, terminal):
        with GenerationDisplay("pair", 100, 0, MODEL_STAGES, terminal) as display:
            display.update({"draft": (12, 3.0)})
        assert re.search(r"draft +12 +4\.00", shown_on(terminal))


def test_files_of_a_cache(now):
    stream = io.StringIO()
    with CacheDisplay(3, stream, now) as display:
        for _ in range(3):
            now.seconds += 6
            display()
    assert stream.getvalue().splitlines() == [
        "cache: 2/3 files, 0:00:12 elapsed, 0:00:06 left",
        "cache: 3/3 files, 0:00:18 elapsed, 0:00:00 left",
    ]
