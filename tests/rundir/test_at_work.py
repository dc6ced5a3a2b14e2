"""Both kinds of jobs work on a run directory one at a time, and say at Ctrl-C what is kept."""

import pytest
from click.testing import CliRunner

from jobs import generate, train_refiner
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.storage import open_storage

JOBS = {"generate": (generate.main, "placement=inline"), "train": (train_refiner.main, "workers.placement=inline")}


@pytest.mark.parametrize("job", JOBS)
def test_a_second_driver_of_any_job_is_refused(tmp_path, job):
    command, setting = JOBS[job]
    storage = open_storage(str(tmp_path))
    with Lease(storage, renew_s=0.2):
        done = CliRunner().invoke(command, ["--output", str(tmp_path), "--set", setting])
    assert done.exit_code == 75
    assert "that driver is alive; stop it first" in done.output.splitlines()[-1]
    assert not storage.exists("summary.json")


def test_an_interrupt_says_what_is_kept_and_releases_the_lease(tmp_path):
    storage = open_storage(str(tmp_path))
    with (
        pytest.raises(KeyboardInterrupt, match=f"^stopped: step 3 is saved in {tmp_path}; run the same command"),
        at_work(storage, print, lambda: "step 3 is saved"),
    ):
        raise KeyboardInterrupt
    said: list[str] = []
    with at_work(storage, said.append, lambda: ""):
        assert said == []
