"""A whole calibration with the real nano networks: what is shared is computed once, and a killed one goes on."""

import json
import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from actors.calibration.calibrate import calibrate, most_pairs, plan_of
from jobs import calibrate as job
from jobs import generate
from tests.conftest import QUICK
from toffee_pipeline.calibration.record import CalibrationRun
from toffee_pipeline.calibration.results import read_results
from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.filters import decide
from toffee_pipeline.models.roles import describe_roles
from toffee_pipeline.nano.world import CLASS_NAMES
from toffee_pipeline.rundir.description import claim
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow
COMMON = ("placement=inline", "subjects.source=renderer", "seed=0", *QUICK)
COMMON += ("pairs.count=4", "pairs.per_subject=2", "pairs.edit_fraction=0.5")
COMMON += ("pairs.edit_categories={background: 1, color: 1}",)
SWEPT = {"edit_strength": [1.0], "g": [0.0, 0.9], "strength": [0.5]}
LEFT = ["draft_guidance_scale", "controlnet_conditioning_scale", "edit_controlnet_conditioning_scale", "a"]
LEFT += ["matching_radius", "guidance_scale"]
NUM_SETTINGS = 5
"""The own one, and one for each value."""
SETS = (
    *COMMON,
    "calibration.num_pairs=4",
    *(f"calibration.sweeps.{name}={values}" for name, values in SWEPT.items()),
    *(f"calibration.sweeps.{name}=[]" for name in LEFT),
)


def run(output, killed=None, sets=SETS):
    """Rows that each stage computed, and what was found. killed: gets a copy of the directory as it is in the middle of
    the last setting: what a kill leaves."""
    config = load_config("nano", sets, CalibrationConfig)
    storage, plan, rows = open_storage(str(output)), plan_of(config), Counter()

    def count(stage, number, seconds):
        rows[stage] += number
        if killed and not killed.exists() and len(list(output.glob("settings/*"))) == NUM_SETTINGS - 1:
            shutil.copytree(output, killed)

    known = claim(storage, CalibrationRun.of(config, plan, describe_roles(config)))
    return rows, calibrate(known, plan, storage, lambda line: None, count)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Its directory, and what `run` says of it."""
    output = tmp_path_factory.mktemp("calibration") / "run"
    return output, *run(output, output.with_name("killed"))


def kinds(pairs):
    return [[pair for pair in pairs if pair.kind == kind] for kind in ("generation", "edit")]


def test_only_what_a_setting_changes_is_computed(whole):
    _, rows, found = whole
    generation, edits = kinds(found.pairs)
    drawn = [pair for pair in edits if pair.reversed_from is None]
    again = [pair for pair in drawn if found.run.config.stages.draft.strength_of(pair.category) < 1]
    assert generation and again and len(again) < len(drawn)
    num_subjects = len(found.subjects)
    assert rows["synthesize"] == rows["segment"] == rows["depth"] == num_subjects
    assert rows["view"] == len(generation)  # no setting of these changes it
    assert rows["draft"] == len(generation) + len(drawn) + len(again)  # the Refiner's settings share them
    assert rows["refine"] == num_subjects + 4 * len(generation)  # tokens once; own, two of g, one of t0


def test_the_own_setting_scores_as_the_run_does(whole, tmp_path):
    """So that what is chosen holds there."""
    _, _, found = whole
    words = [word for item in COMMON for word in ("--set", item)]
    assert CliRunner().invoke(generate.main, ["--output", str(tmp_path / "run"), *words]).exit_code == 0
    files = data_files(open_storage(str(tmp_path / "run")), "_ledger")
    ledger = {row["pair_id"]: row for file in files for row in pq.read_table(file).to_pylist()}
    assert {*found.before} == {*ledger}
    for pair_id, result in found.before.items():
        for name in ("dino", "clip"):
            assert result.scores[name] == ledger[pair_id][f"{name}_score"]
    before, _, _ = found.compared()
    accepted = [row["status"] == "accepted" for row in ledger.values()]
    assert before.accepted.value == sum(accepted) / len(accepted)


def test_a_run_takes_the_overlay(whole):
    output, _, found = whole
    config = load_config(("nano", str(output / "overlay.yaml")))
    refine = yaml.safe_load((output / "overlay.yaml").read_text())["stages"]["refine"]
    assert {*refine} == {"g", "strength"}
    assert (config.stages.refine.g, config.stages.refine.strength) == (refine["g"], refine["strength"])
    chosen = {sweep.knob.name: sweep.choices["all"].value for sweep in found.sweeps if "all" in sweep.choices}
    assert chosen == {"g": refine["g"], "strength": refine["strength"]}


def test_a_killed_one_goes_on_with_the_setting_that_is_missing(whole):
    output, _, found = whole
    killed = output.with_name("killed")
    assert not (killed / "figures.json").exists()
    second, _ = run(killed)
    assert {*second} <= {"draft", "refine", "edit", "score"}
    assert second["refine"] == len(kinds(found.pairs)[0])
    assert (killed / "figures.json").read_bytes() == (output / "figures.json").read_bytes()
    assert (killed / "overlay.yaml").read_bytes() == (output / "overlay.yaml").read_bytes()
    keys = [(each.pair_id, each.key) for each in read_results(open_storage(str(killed)))]
    assert len(keys) == len({*keys})
    third, _ = run(killed)
    assert not third


def test_the_page_has_a_contact_sheet_per_setting(whole):
    page = (whole[0] / "report/index.html").read_text()
    for name in ("g = 0,", "g = 0.9", "t0 = 0.5", "t0 = 0.8"):
        assert f"<h3>{name}" in page or f"<h3>{name.rstrip(',')}</h3>" in page
    assert "not independent of the judge" in page  # it is the filter's CLIP, where no other is named
    assert page.count("<svg") >= 3 * 3 and 'src="http' not in page
    figures = json.loads((whole[0] / "figures.json").read_text())
    assert {*figures["settings"]} == {*SWEPT}


def test_proposed_thresholds_of_other_encoders_judge_and_stand_in_the_overlay(tmp_path):
    """Of two subjects of a class, so that there are false pairs; no setting is tried."""
    encoders = ("models.filter_dino.weights=untrained", "models.clip.weights=untrained")
    sample = (f"subjects.class_quotas={{{CLASS_NAMES[0]}: 2}}", "pairs.edit_fraction=0", "calibration.num_pairs=4")
    left = (f"calibration.sweeps.{name}=[]" for name in (*SWEPT, *LEFT))
    sets = (*COMMON, *encoders, *sample, "calibration.judge=proposed", "calibration.refuse=0.25", *left)
    _, found = run(tmp_path, sets=sets)
    thresholds = {
        each["key"]: each["threshold"] for each in json.loads((tmp_path / "figures.json").read_text())["thresholds"]
    }
    own = load_config("nano", sets, CalibrationConfig).stages.judge
    assert thresholds["min_dino"] not in (None, own.min_dino) and thresholds["min_clip"] not in (None, own.min_clip)
    assert yaml.safe_load((tmp_path / "overlay.yaml").read_text()) == {"stages": {"judge": thresholds}}
    judge = load_config(("nano", str(tmp_path / "overlay.yaml"))).stages.judge
    verdicts, by_own = (
        [decide(found.before[pair.pair_id].scores, each, pair.kind) for pair in found.pairs] for each in (judge, own)
    )
    assert len(verdicts) == 4 and found.compared()[0].accepted.value == verdicts.count(None) / 4
    assert verdicts.count(None) > by_own.count(None)  # bounds that were made for other encoders refuse what is good


def test_the_command_says_what_it_would_do_and_refuses_another_calibrations_directory(whole, tmp_path):
    words = [word for item in SETS for word in ("--set", item)]
    done = CliRunner().invoke(job.main, ["--output", str(tmp_path), "--dry-run", *words])
    assert done.exit_code == 0 and "t0: 0.5" in done.output and not any(tmp_path.iterdir())
    other = CliRunner().invoke(job.main, ["--output", str(whole[0]), *words, "--set", "calibration.keep=0.7"])
    assert other.exit_code == 2 and "calibration.keep" in other.output


def test_a_sample_too_large_to_go_on_with_is_refused_before_anything_is_written(tmp_path):
    large = [word for item in (*COMMON, "size_px=4096", "calibration.num_pairs=55") for word in ("--set", item)]
    output = tmp_path / "calibration"
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(job.main, ["--output", str(output), *large, *more], catch_exceptions=False)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert "calibration.num_pairs=55: " in done.stderr and "allowed are at most 42 here" in done.stderr
        assert not output.exists()
    default = load_config("sdxl", (), CalibrationConfig)
    assert most_pairs(default) >= 400 > default.calibration.num_pairs
