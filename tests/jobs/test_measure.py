"""From a measurement to a plan of costs, as a user runs it."""

import re
import subprocess
import sys
import time

import psutil
import pytest
from click.testing import CliRunner

from jobs import generate, measure
from tests.conftest import QUICK
from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.rundir.measurements import read_measurements

pytestmark = pytest.mark.slow
ON = [name for name in MODEL_STAGES if not name.startswith("check_")]
EDITS = ("pairs.edit_fraction=0.5", "pairs.edit_categories={style: 1}")  # which are refined
SETTINGS = ("pairs.count=40", *EDITS, "placement=inline", *QUICK)
PROBED = ("segment", "draft", "edit")
"""One without sampling, one with its own, and one with the Refiner's; the others have the largest micro-batch as it is.
"""
SETTINGS += tuple(f"stages.{name}.batch_size=1" for name in PROBED)


def run(main, *words, settings=SETTINGS):
    sets = [word for item in settings for word in ("--set", item)]
    return CliRunner().invoke(main, [*words, *sets], catch_exceptions=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("measured") / "results" / "measurements.json"
    result = run(measure.main, "--config", "nano", "--pairs", "2", "--max-batch-size", "2", "--output", str(path))
    assert result.exit_code == 0, result.output
    return path, result.output


def test_every_stage_has_a_line_and_a_place_in_the_file(measured):
    path, output = measured
    found = read_measurements(path)
    assert list(found.stages) == ON
    assert [line.split()[0] for line in output.splitlines()[1:-1]] == ON
    assert found.num_pairs == 2 and not found.on_gpu
    for name, stage in found.stages.items():
        assert (stage.batch_size, stage.largest_batch_size) == ((1 if name in PROBED else 2), 2), name
        assert stage.seconds > stage.outside_s > 0, name
        assert 0.1 < stage.peak_memory_gib < 8, name


def test_a_dry_run_plans_its_costs(measured, tmp_path):
    path, _ = measured
    output = str(tmp_path / "run")
    result = run(generate.main, "--output", output, "--dry-run", settings=(*SETTINGS, f"measurements={path}"))
    assert result.exit_code == 0, result.output
    seconds = sum(read_measurements(path).seconds_per_pair().values())
    assert re.search(rf"^all +100\.0% +{seconds:.3f} +0\.000$", result.output, re.M)
    assert re.search(r"^pairs accepted +40 +1,000,000$", result.output, re.M)
    assert "as if every pair passed" in result.output
    assert "SuTI: about 0.8 TPU hours of tuning on each subject" in result.output
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_missing_is_one_line(tmp_path):
    missing = f"measurements={tmp_path / 'nowhere.json'}"
    result = run(generate.main, "--output", str(tmp_path / "run"), "--dry-run", settings=(*SETTINGS, missing))
    assert result.exit_code == 2
    assert "nowhere.json: no such file; jobs/measure.py writes it" in result.output


def test_the_outputs_folder_is_made_before_anything_is_measured(tmp_path):
    (tmp_path / "file").touch()
    refused = run(measure.main, "--output", str(tmp_path / "file" / "m.json"))
    assert refused.exit_code == 2 and "stage" not in refused.stdout
    assert refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1


def test_a_job_that_is_killed_leaves_nobody_behind(tmp_path):
    words = [
        word for item in (*SETTINGS, "stages.synthesize.sampling.num_inference_steps=1000") for word in ("--set", item)
    ]
    command = [sys.executable, "-u", "jobs/measure.py", "--output", str(tmp_path / "never.json"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline().startswith("stage")
        while len(others := psutil.Process(job.pid).children(recursive=True)) < 3:  # tracker, fork server, the stage
            assert job.poll() is None
            time.sleep(0.1)
        job.kill()
        assert psutil.wait_procs(others, timeout=60)[1] == []
