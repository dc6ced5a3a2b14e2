"""What a pair feels of a setting decides what is computed anew; what is written is what a run then has."""

import yaml

from toffee_pipeline.calibration.knobs import KNOBS, feels
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.calibrate import CalibrationConfig, SweepsConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.schema.pairs import Pair

NANO = load_config("nano", (), CalibrationConfig)


def pair(kind, category):
    return Pair("p0", "s0", kind, category, "red", "a red mug", "a red mug", 1)


def names(kind, category, config=NANO):
    return {*feels(config, pair(kind, category))}


def test_every_sweep_has_its_knob():
    assert [knob.name for knob in KNOBS] == [*SweepsConfig.model_fields]


def test_a_pair_feels_what_its_pictures_follow_from():
    edits, refiner = {"edit_strength", "edit_controlnet_conditioning_scale"}, {"a", "g", "matching_radius", "strength"}
    assert not edits & names("generation", "style") and refiner < names("generation", "style")
    assert edits | refiner < names("edit", "style") and "controlnet_conditioning_scale" not in names("edit", "style")
    assert edits < names("edit", "addition") and not refiner & names("edit", "addition")
    without = NANO.with_stage("refine", a_by_category={"color": 0.0, "style": 0.0})
    assert not refiner & names("edit", "color", without)
    assert {"a", "strength"} == refiner & names("generation", "style", without)


def test_what_is_turned_is_felt_and_nothing_else_changes():
    for knob in KNOBS:
        kind, category = ("edit", "color") if knob.name.startswith("edit") else ("generation", "background")
        turned = knob.turned(NANO, dict.fromkeys(CATEGORIES, 1))
        before, after = (feels(config, pair(kind, category)) for config in (NANO, turned))
        assert after == before | {knob.name: 1}


def test_what_is_written_is_what_a_run_has(tmp_path):
    for knob in KNOBS:
        values = {"color": 1, "style": 1}
        file = tmp_path / f"{knob.name}.yaml"
        file.write_text(yaml.safe_dump(knob.settings(values)))
        stages = load_config(("nano", str(file))).stages
        assert stages == knob.turned(NANO, values).stages
