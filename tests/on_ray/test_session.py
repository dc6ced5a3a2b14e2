"""What a submitted job may not write to."""

import json

import pytest
from click.testing import CliRunner

from jobs import generate, train_refiner
from toffee_pipeline.errors import StorageError
from toffee_pipeline.on_ray.session import refuse_relative_output


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
