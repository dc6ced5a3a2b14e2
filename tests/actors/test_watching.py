"""The watch over a run on Ray outlives a terminal that has gone."""

import logging
import time

import pytest

from actors.context import RunContext
from actors.executors.watching import Seen, watching
from toffee_pipeline.config.load import load_config
from toffee_pipeline.on_ray.metrics import RayMetricSink


def watched(seen, **shown):
    """What was taken while a run was watched."""
    context = RunContext(load_config("nano"), "run", RayMetricSink("run"), **shown)
    computed = []
    with watching(lambda: seen, context, computed.append, every_s=0.005):
        deadline = time.monotonic() + 10
        while len(computed) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
    return computed


def gone(_):
    raise BrokenPipeError("the terminal has gone")


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (Seen({"draft": (1, 1.0)}, 0, "", (), 0), {"show": gone}),
        (Seen({"draft": (1, 1.0)}, 0, "a store is away", (), 0), {"say": gone}),
        (Seen({"draft": (1, 1.0)}, 0, "", ("GPU 3 cannot start",), 0), {"say": gone}),
    ],
    ids=["show", "note", "said"],
)
def test_figures_count_also_where_nothing_can_be_shown_and_that_is_logged_once(seen, shown, logged):
    assert len(watched(seen, **shown)) >= 5
    (record,) = logged
    assert record.levelname == "WARNING" and "the terminal has gone" in logging.Formatter().format(record)


def test_what_actors_say_is_said():
    said = []
    watched(Seen({}, 0, "", ("GPU 3 cannot start",), 0), say=said.append)
    assert set(said) == {"GPU 3 cannot start"}
