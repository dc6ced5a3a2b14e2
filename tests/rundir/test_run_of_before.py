"""A run directory that was written before some settings existed goes on: a key that came later differs from nothing."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs import status, verify
from tests.helpers import stub_job
from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.roles import describe_roles
from toffee_pipeline.storage import open_storage

DATA = Path(__file__).parent / "data" / "run_of_before"


@pytest.fixture
def run(tmp_path):
    """As if nano's weights had not been trained anew since."""
    shutil.copytree(DATA, tmp_path / "run")
    path = tmp_path / "run/run.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps(known | {"roles": describe_roles(load_config(str(path)))}))
    return tmp_path / "run"


def call(command, *words):
    return CliRunner().invoke(command.main, [str(word) for word in words], catch_exceptions=False)


def test_it_shows_its_status(run):
    shown = call(status, run, "--json")
    assert shown.exit_code == 0, shown.output
    looked = json.loads(shown.output)
    assert (looked["state"], looked["planned"], looked["left"]) == ("stopped", 4, 2)
    assert looked["totals"]["accepted"] == 2


def test_it_is_verified_but_for_what_is_missing(run):
    checked = call(verify, run)
    assert checked.exit_code == 1
    assert "_manifests/shard-000000.json: not there, not committed" in checked.output
    assert "_manifests/shard-000001" not in checked.output


def test_it_resumes_under_todays_settings_and_is_sound_then(run):
    known = json.loads((run / "run.json").read_text())["config"]
    assert "stall_s" not in known and "max_dino" not in known["stages"]["judge"]
    before = {path: path.read_bytes() for path in run.rglob("*-000001*")}
    again = call(stub_job, "--config", run / "run.json", "--output", run, "--set", "stall_s=60")
    assert again.exit_code == 0, again.output
    assert "resuming: 1 of 2 shards are committed" in again.output
    assert {path: path.read_bytes() for path in run.rglob("*-000001*")} == before
    assert open_storage(str(run)).exists("summary.json")
    sound = call(verify, run)
    assert sound.exit_code == 0, sound.output


def test_weights_that_were_trained_anew_since_are_refused(tmp_path):
    shutil.copytree(DATA, tmp_path / "run")
    refused = call(stub_job, "--config", tmp_path / "run/run.json", "--output", tmp_path / "run")
    assert refused.exit_code == 2
    assert "differs in: the weights of draft (nano weights d91bc8d8264ada8c then, nano weights " in refused.output
    assert not (tmp_path / "run/_manifests/shard-000000.json").exists()


def test_another_value_of_a_key_that_it_lacks_is_refused(run):
    refused = call(stub_job, "--config", run / "run.json", "--output", run, "--set", "stages.judge.max_dino=0.9")
    assert refused.exit_code == 2
    assert "differs in: stages.judge.max_dino" in refused.output
