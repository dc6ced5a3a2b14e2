"""Config: profiles load, wrong values get one line that names key, value and what is allowed."""

import json

import pytest
import yaml
from click.testing import CliRunner

from jobs.generate import main
from toffee_pipeline.config.load import PROFILES, load_config, profile_names
from toffee_pipeline.errors import ToffeeError


def test_every_profile_is_valid_and_spells_only_known_keys():
    assert profile_names() == ["nano", "sdxl"]
    for name in profile_names():
        assert (
            load_config(name).size_px == yaml.safe_load((PROFILES / "generate" / f"{name}.yaml").read_text())["size_px"]
        )


def test_sdxl_names_the_models_of_the_paper():
    models = load_config("sdxl").models
    assert "stable-diffusion-xl-base" in models.sdxl.id
    assert models.dino.id == "facebook/dinov2-giant"
    assert models.filter_dino.id == "facebook/dino-vits16"
    assert models.segmenter.type == "vit_h"
    assert models.clip.architecture.startswith("ViT-B-32")
    for spec in (models.sdxl, models.controlnet, models.depth, models.dino, models.detector, models.filter_dino):
        assert spec.revision


def test_overrides_change_only_what_they_name(tmp_path):
    config = load_config("nano", ("pairs.count=7", "seed=3", "subjects.source=folder", f"subjects.path={tmp_path}"))
    assert (config.pairs.count, config.seed, config.subjects.source, config.subjects.path) == (
        7,
        3,
        "folder",
        str(tmp_path),
    )
    assert config.pairs.per_subject == load_config("nano").pairs.per_subject


def test_local_path_overrides_a_hub_id():
    config = load_config("sdxl", ("models.sdxl.path=/weights/sdxl",))
    assert str(config.models.sdxl.path) == "/weights/sdxl"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("subjects.source=foldr", ["subjects.source", "foldr", "synthesis", "folder", "renderer"]),
        ("subjects.source=folder", ["subjects.path"]),
        ("pairs.count=0", ["pairs.count", "0", "greater than 0"]),
        ("pairs.count=many", ["pairs.count", "many", "integer"]),
        ("pairs.cuont=3", ["pairs.cuont", "count", "per_subject"]),
        ("sede=3", ["sede", "seed", "placement"]),
        ("placement=magic", ["placement", "magic", "fused", "pools", "inline"]),
        ("stages.refine.a=1.5", ["stages.refine.a", "1.5", "less than or equal to 1"]),
        ("noequals", ["noequals", "key=value"]),
        ("pairs.edit_categories={sparkle: 1}", ["sparkle", "style", "background"]),
        ("stages.draft.guidance_interval=[0.8, 0.2]", ["guidance_interval=[0.8, 0.2] ends before it begins"]),
        ("models.draft_unet={id: a/lcm}", ["models.draft_unet", "published SDXL", "nano weights"]),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2(override, words, tmp_path):
    result = CliRunner().invoke(main, ["--output", str(tmp_path / "run"), "--set", override])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
    assert not (tmp_path / "run").exists()


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(ToffeeError, match="nano, sdxl"):
        load_config("nanoo")


def test_yaml_is_safe_and_the_environment_stays_out(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    config = load_config("nano", ("subjects.source=synthesis", "subjects.catalog=${oc.env:SECRET}"))
    assert "hunter2" not in config.model_dump_json()
    evil = tmp_path / "evil.yaml"
    evil.write_text("seed: !!python/object/apply:os.getpid []\n")
    with pytest.raises(ToffeeError):
        load_config(str(evil))


def test_dry_run_writes_nothing(tmp_path):
    result = CliRunner().invoke(main, ["--output", str(tmp_path / "run"), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "64 pairs of 16 subjects" in result.output
    assert "view: nano weights" in result.output
    assert not (tmp_path / "run").exists()


def test_a_path_beside_the_packages_own_weights_is_refused():
    with pytest.raises(ToffeeError, match=r"models\.refiner: nano weights .* with a path say weights=pretrained"):
        load_config("nano", ("models.refiner.path=/runs/refiner/model",))


def test_a_dry_run_lists_missing_weights_and_a_run_names_them_all(tmp_path):
    gone = [f"models.{name}.path={tmp_path / 'gone' / name}" for name in ("dino", "depth")]
    options = ["--output", str(tmp_path / "run"), *(part for key in gone for part in ("--set", key))]
    options += ["--set", "models.dino.weights=pretrained", "--set", "models.depth.weights=pretrained"]
    listed = CliRunner().invoke(main, [*options, "--dry-run"])
    assert listed.exit_code == 0, listed.output
    for name in ("dino", "depth"):
        assert f"  {name}: missing: {name}: no such file or folder: {tmp_path / 'gone' / name}\n" in listed.output
    assert "view: nano weights" in listed.output
    refused = CliRunner().invoke(main, options)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: missing weights: depth: ") and "; dino: " in refused.stderr
    assert refused.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


def test_yaml_runs_no_code(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"seed: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    for name, overrides in ((str(path), ()), ("nano", (f"seed=!!python/object/apply:os.mkdir ['{tmp_path}/made']",))):
        with pytest.raises(ToffeeError):
            load_config(name, overrides)
    assert not (tmp_path / "made").exists()


def test_the_config_of_a_run_is_read_from_its_run_json(tmp_path):
    config = load_config("nano", ("seed=3",))
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"plan_hash": "x", "config": config.model_dump(mode="json")}))
    assert load_config(str(path)) == config
