"""What users write in --config and --set: read as it stands, or refused in one line that says what is allowed."""

import codecs
import json
from pathlib import Path

import pytest

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import PROFILES, load_config
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining
from toffee_pipeline.errors import ConfigError

FOLDER = "subjects.source=folder"


def refusal(*overrides, sources="nano", config_class=RunConfig):
    with pytest.raises(ConfigError) as error:
        load_config(sources, overrides, config_class)
    line = str(error.value)
    assert "\n" not in line
    return line


NAMES = ["photos #1", "a: b", "*", "&x", "a~", "~name", "[1]", "{a}", "123", "1e3", "'quoted'", '"', "yes", "!x", "%"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_taken_as_it_stands(name):
    assert load_config("nano", (FOLDER, f"subjects.path=/data/{name}")).subjects.path == f"/data/{name}"
    assert load_config("nano", (FOLDER, f"subjects.path={name}")).subjects.path == str(Path.cwd() / name)
    assert load_config("nano", (f"subjects.catalog={name}",)).subjects.catalog == str(Path.cwd() / name)


def test_only_a_leading_tilde_is_the_home_folder():
    assert load_config("nano", (FOLDER, "subjects.path=~/photos")).subjects.path == str(Path.home() / "photos")


def test_a_number_is_decimal_and_null_is_none():
    config = load_config("nano", ("seed=010", "train.learning_rate=1e-4"), RefinerTraining)
    assert (config.seed, config.train.learning_rate) == (10, 1e-4)
    assert load_config("nano", ("stages.judge.min_clip=null",)).stages.judge.min_clip is None


def test_lists_and_mappings_are_yaml_and_a_number_names_an_element():
    config = load_config("nano", ("renderer_plays.0=mask", "stages.refine.a_by_category.color=0.2"))
    assert config.renderer_plays == ("mask", "mask", "view")
    assert config.stages.refine.a_by_category == {"color": 0.2, "style": 0.5, "texture": 0.0}
    config = load_config("nano", ("renderer_plays=[]", "pairs.edit_categories={color: 1}"))
    assert (config.renderer_plays, config.pairs.edit_categories["color"]) == ((), 1.0)
    (source,) = load_config("nano", ("data.sources.0.path=x",), ToffeeNetTraining).data.sources
    assert source.path == str(Path.cwd() / "x")
    assert load_config("nano", ("models.vae.weights=nano",)).models.vae.weights == "nano"  # from null


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("stages.judge=[1]",),
            "stages.judge: [1] is not allowed: it holds the keys min_dino, max_dino, min_hash_distance",
        ),
        (("stages.judge=[1]", "stages.judge.min_dino=0"), "stages.judge.min_dino: no element min_dino among 1"),
        (("renderer_plays.3=mask",), "renderer_plays.3: no element 3 among 3; to add one, set the whole list"),
        (("renderer_plays.0=hat",), "renderer_plays.0: 'hat' is not allowed: input should be 'subject'"),
        (("seed.b.c.d=1",), "seed.b: no such key; it holds no keys"),
        (("stages.refine.a_by_category.hat=1",), "stages.refine.a_by_category.hat"),
        (("pair.count=3",), "pair: no such key; did you mean pairs.count?; allowed: seed, placement"),
        (("pairs.cuont=3",), "pairs.cuont: no such key; did you mean pairs.count?; allowed: count, per_subject"),
        (("edit_fraction=1",), "edit_fraction: no such key; did you mean pairs.edit_fraction?"),
        (
            ("stages.refine.batch=1",),
            "stages.refine.batch: no such key; did you mean stages.refine.batch_size?",
        ),
        (("pairs=[",), "--set pairs: no valid YAML: line 1"),
        (("pairs={count: 1, count: 2}",), "--set pairs: no valid YAML: line 1: the key 'count' stands twice"),
        (("pairs=\udcff",), "--set pairs: not UTF-8"),
        (("=3",), "--set '=3': allowed is key=value"),
        (
            ("subjects.path=/data",),
            "subjects.path is read with subjects.source=folder or bank alone, not with synthesis",
        ),
        (("models.controlnet.dtype=float16",), "models.controlnet.dtype=float16 and models.sdxl.dtype=float32"),
    ],
)
def test_a_wrong_override_is_one_line(overrides, line):
    assert refusal(*overrides).startswith(line)


def test_a_misspelt_key_of_a_source_is_no_reason_to_name_its_parent():
    override = "data.sources=[{format: mvimgnet, path: x, num_subjects: 9}]"
    line = refusal(override, config_class=RefinerTraining)
    assert line == "data.sources.0.num_subjects: no such key; allowed: path, endpoint_url, format"
    line = refusal("data.sources.0.num_subject=9", config_class=RefinerTraining)
    assert "did you mean data.sources.0.num_subjects?" in line


@pytest.mark.parametrize(
    "override",
    [
        "pairs.count=1e30",
        "pairs.count=" + "9" * 5000,
        "output.lease_s=.inf",
        "output.lease_s=inf",
        "pairs.edit_categories.color=.inf",
        "pairs.edit_categories={color: .inf}",
        "stages.judge.min_clip=.nan",
        "stages.judge.min_dino=-.inf",
        "stages.judge.min_dino=-inf",
        "stages.score.timeout_s=1e12",
        "seed=-1",
    ],
)
def test_a_number_out_of_bounds_is_one_line(override):
    key, _, _ = override.partition("=")
    line = refusal(override)
    assert line.startswith(key) and "is not allowed" in line and len(line) < 250


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_have_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "mine.yaml"
    path.write_text("subjects: {source: folder, path: /data/größe}", encoding=encoding)
    assert load_config(("nano", str(path))).subjects.path == "/data/größe"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("subjects: {path: größe}".encode("latin-1"), "not UTF-8"),
        (codecs.BOM_UTF16_LE + b"x", "not UTF-8"),
        (b"seed: 1\npairs:\n  count: 1\n  count: 2\n", "no valid YAML: line 4: the key 'count' stands twice"),
        (b"- seed", "a YAML mapping of settings is expected"),
        (b"", "a YAML mapping of settings is expected"),
        (b"seed: {a", "no valid YAML: line 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, content, line):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert refusal(sources=str(path)).startswith(f"--config {path}: {line}")


def test_keys_of_a_file_are_shown_as_text(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"fused": {"a\n\x1b[2Jb": 1}}))
    assert refusal(sources=("nano", str(path))).startswith(r"fused.a \u001b[2Jb: no such key")
    path.write_text(json.dumps({"a\nb": {"endpoint_url": "https://theirs.example"}}))
    assert "a b.endpoint_url: https://theirs.example is refused" in refusal(sources=("nano", str(path)))


def test_a_file_is_laid_over_a_profile_and_the_later_wins(tmp_path):
    path, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    path.write_text("pairs: {count: 3, per_subject: 1}\nrenderer_plays: [mask]\nmodels: {vae: null}")
    other.write_text("pairs: {count: 5}\nmodels: {vae: {weights: untrained}}")
    config, nano = load_config(("nano", str(path), str(other)), ("seed=9",)), load_config("nano")
    assert (config.pairs.count, config.pairs.per_subject, config.seed) == (5, 1, 9)
    assert config.pairs.edit_fraction == nano.pairs.edit_fraction
    assert (config.renderer_plays, config.models.vae.weights) == (("mask",), "untrained")
    run = tmp_path / "run.json"
    run.write_text(json.dumps({"config": config.model_dump(mode="json")}))
    assert load_config((str(run), str(path))).pairs.count == 3
    assert load_config(("sdxl", str(run))) == config
    line = refusal(sources=str(path))
    assert "missing" in line and "--config nano --config FILE" in line


def test_the_config_of_another_job_is_one_line(tmp_path):
    train = str(PROFILES / "train_refiner" / "nano.yaml")
    assert "settings of jobs/train_refiner.py, not of jobs/generate.py" in refusal(sources=train)
    generate = str(PROFILES / "generate" / "nano.yaml")
    line = refusal(sources=generate, config_class=RefinerTraining)
    assert line == f"--config {generate}: settings of jobs/generate.py, not of jobs/train_refiner.py"
    run = tmp_path / "run.json"
    config = load_config("nano", (), ToffeeNetTraining).model_dump(mode="json")
    run.write_text(json.dumps({"job": "train_toffeenet", "config": config}))
    assert "settings of jobs/train_toffeenet.py, not of jobs/generate.py" in refusal(sources=str(run))
    assert "not of jobs/train_refiner.py" in refusal(sources=str(run), config_class=RefinerTraining)
