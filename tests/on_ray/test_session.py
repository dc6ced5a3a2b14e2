"""Where a submitted job may not write, what a driver's threads share, and which errors of workers and nodes show."""

import errno
import json
import pickle
import platform
import subprocess
import sys

import pytest
from click.testing import CliRunner
from ray.exceptions import NodeDiedError, RayError, RayTaskError, WorkerCrashedError

from jobs import generate, train_refiner
from toffee_pipeline.errors import RunMismatch, StorageError
from toffee_pipeline.on_ray.session import or_unknown, refuse_relative_output, workers_errors


@pytest.fixture
def submitted(monkeypatch):
    """The environment in which Ray starts the driver of a submitted job."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {"working_dir": "gcs://x.zip"}}))


@pytest.mark.parametrize("output", ["runs/mine", "./mine", "../mine", "runs/a:b"])
def test_a_submitted_job_refuses_a_relative_output(output, submitted):
    with pytest.raises(StorageError, match=f"run directory '{output}': .* give an absolute path or s3://") as caught:
        refuse_relative_output(output)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("job", [generate, train_refiner], ids=lambda job: job.__name__)
def test_every_job_refuses_it_in_one_line(job, submitted):
    result = CliRunner().invoke(job.main, ["--config", "nano", "--output", "runs/mine", "--dry-run"])
    assert result.exit_code == 2
    assert "give an absolute path or s3://" in result.output.splitlines()[-1]


@pytest.mark.parametrize("output", ["/data/mine", "~/mine", "file:///data/mine", "s3://bucket/mine"])
def test_a_submitted_job_takes_what_is_the_same_everywhere(output, submitted):
    refuse_relative_output(output)


def test_a_job_that_is_not_submitted_takes_a_relative_output(monkeypatch):
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    refuse_relative_output("runs/mine")


TRIES = "Failed to apply UDF transform after 1/1 attempts (total backoff 0.0s).\nTo change retry attempts, configure."
FULL = OSError(errno.ENOSPC, "No space left on device")
GONE = FileNotFoundError(errno.ENOENT, "No such file or directory", "/photos/dog.png")


def from_a_worker(error):
    """As Ray Data gives it to the driver: with its tries appended, pickled, and its class mixed with Ray's."""
    tracebacks = f"Traceback (most recent call last):\n  File work.py\n{type(error).__name__}: {error}\n"
    error = pickle.loads(pickle.dumps(error))
    if isinstance(error.args[0], str):
        error.args = (f"{error.args[0]}\n{TRIES}", *error.args[1:])
    else:
        error.args = (*error.args, TRIES)
    return RayTaskError("write_row", tracebacks, pickle.loads(pickle.dumps(error))).as_instanceof_cause()


@pytest.mark.parametrize("error", [FULL, GONE, OSError("/photos: no such folder"), RunMismatch("shard 1 has changed")])
def test_what_a_worker_raised_for_the_user_is_its_own_line(error):
    with pytest.raises(type(error)) as caught, workers_errors():
        raise from_a_worker(error)
    assert type(caught.value) is type(error) and str(caught.value) == str(error)
    assert getattr(caught.value, "errno", None) == getattr(error, "errno", None)


def test_what_is_wrong_with_the_code_keeps_its_traceback():
    with pytest.raises(RayTaskError, match="File work.py"), workers_errors():
        raise from_a_worker(ValueError("a broken assumption"))


@pytest.mark.parametrize("error", [NodeDiedError("spot"), WorkerCrashedError(), from_a_worker(TimeoutError("30 s"))])
def test_a_node_that_cannot_be_asked_does_not_know_its_memory(error):
    def probe():
        raise error

    assert isinstance(error, RayError)
    assert or_unknown(probe) is None
    assert or_unknown(lambda: 80.0) == 80.0


THREADS = """
import ctypes, threading
from toffee_pipeline.on_ray.session import share_free_memory

share_free_memory()
together = threading.Barrier(20)

def take():
    taken = bytes(2000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(20)]
for each in threads:
    each.start()
for each in threads:
    each.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_a_drivers_threads_share_the_memory_that_others_have_freed():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert 1 <= done.stdout.count("<heap nr=") <= 2
