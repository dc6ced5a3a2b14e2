"""What tests of all rooms share."""

import gc
import logging
import os
import signal
from collections.abc import Iterator

import pytest

from tests.helpers.once import once
from tests.helpers.s3 import BUCKET, CREDENTIALS, make_bucket, s3_server
from tests.helpers.startup import STARTUP
from toffee_pipeline.config.load import load_config

os.environ["PYTHONPATH"] = f"{STARTUP}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")  # of processes that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
gc.set_threshold(100_000, 50, 100)  # as in `sitecustomize`


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """A job that ran in this process may have left it more threads than there are cores, and they wait busily."""
    import torch  # not where workers alone run tests

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of slow tests come first, so that one of several workers is not left with one at the end; and first of
    all those that wait for a store that is away, while Ray's tests have the cores."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (item.path not in slow, item.path.parent.name != "storage"))


def pytest_collection_finish():
    gc.freeze()  # a million objects of libraries


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    gc.freeze()  # pytest collects five times, for the sake of exceptions in finalizers


QUICK = tuple(f"stages.{stage}.sampling.num_inference_steps=2" for stage in ("synthesize", "draft", "refine", "view"))
"""Settings of tests to which the pictures do not matter."""


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """Warnings and worse that reach the root logger. As pytest's `caplog`, whose plugin is off: before each test and
    after it, that looks through the thousands of loggers of all libraries."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def nano():
    """Makes a nano config of few pairs of the renderer's subjects: `nano("pairs.count=8")`."""

    def make(*overrides: str):
        sizes = ("pairs.count=8", "subjects_per_shard=2")
        return load_config("nano", ("placement=inline", "subjects.source=renderer", *sizes, *overrides))

    return make


@pytest.fixture(scope="module")
def endpoint():
    """URL of the session's S3 server, with `BUCKET` in it and its credentials in the environment."""
    with s3_server() as url, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        make_bucket(url)
        yield url


@pytest.fixture
def s3(endpoint, tmp_path):
    """(URI of an empty prefix there, the server's URL)."""
    return f"s3://{BUCKET}/{tmp_path.name}", endpoint


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """The directory of a run with eight accepted pairs, to be read only."""
    from tests.helpers.training_job import write_pairs

    return once(tmp_path_factory, "pairs", write_pairs)
