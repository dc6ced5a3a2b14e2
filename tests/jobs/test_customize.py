"""jobs/customize.py as a user runs it."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from jobs import customize
from tests.customize.conftest import photo
from tests.helpers.toffeenet_run import write_run
from toffee_pipeline.customize.png import read_settings
from toffee_pipeline.images import decode, encode_mask, encode_png

PROMPT = ("--prompt", "a red mug on a beach")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, two photos and a mask of the first."""
    folder = tmp_path_factory.mktemp("customize")
    write_run(folder / "run")
    for number in (0, 1):
        (folder / f"{number}.png").write_bytes(encode_png(photo(number)))
    mask = np.zeros((80, 100), bool)
    mask[20:50, 30:60] = True
    (folder / "mask.png").write_bytes(encode_mask(mask))
    return folder


def run(folder, *words, model="run"):
    command = ["--model", str(folder / model), *words]
    return CliRunner().invoke(customize.main, command, catch_exceptions=False)


def test_new_pictures_of_a_subject(folder, tmp_path):
    photos = ("--subject", str(folder / "0.png"), "--subject", str(folder / "1.png"))
    options = ("--num-images", "2", "--seed", "5", "--strength-dino", "0.7", "--guidance-dino", "3")
    steps = ("--set", "sampling.num_inference_steps=1")
    result = run(folder, *photos, *PROMPT, *options, *steps, "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000-sheet.png", "0000.png", "0001.png"]
    assert re.search(r"^\d+\.\d\d s per image$", result.output, re.M)
    settings = [read_settings((tmp_path / "out" / f"000{number}.png").read_bytes()) for number in (0, 1)]
    assert [each["seed"] for each in settings] == [5, 6]
    first = settings[0]
    assert (first["prompt"], first["strength_dino"], first["guidance_dino"]) == (PROMPT[1], 0.7, 3)
    assert (first["subjects"], first["mask"], first["depth"]) == (["0.png", "1.png"], "none", "none")
    assert first["sampling"]["num_inference_steps"] == 1
    assert re.fullmatch(r"pretrained model [0-9a-f]{16}", first["model"])
    again = run(folder, *photos, *PROMPT, *options, *steps, "--output", str(tmp_path / "again"), model="run/model")
    assert again.exit_code == 0, again.output
    for name in ("0000.png", "0001.png"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_an_edit_of_a_photo(folder, tmp_path):
    words = ("--subject", str(folder / "0.png"), *PROMPT, "--mask", str(folder / "mask.png"), "--num-images", "1")
    result = run(folder, *words, "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out").iterdir()
    edited, original = decode(path.read_bytes()), photo(0)
    different = (edited != original).any(2)
    assert different[20:50, 30:60].mean() > 0.5
    different[20:50, 30:60] = False
    assert not different.any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (PROMPT, "--subject is missing"),
        (("--subject", "0.png"), "--prompt is missing"),
        (("--subject", "gone.png", *PROMPT), "gone.png: no such file"),
        (("--subject", "run/run.json", *PROMPT), "run.json: not an image"),
        (("--subject", "0.png", *PROMPT, "--mask", "gone.png"), "gone.png: no such file"),
        (("--subject", "0.png", *PROMPT, "--depth", "run/run.json"), "run.json: not an image"),
        (("--subject", "0.png", *PROMPT, "--set", "sampling.steps=3"), "sampling.steps: no such key"),
        (("--subject", "0.png", *PROMPT, "--model", "none"), "none/run.json: no such file; a run directory of jobs/tr"),
        (("--subject", "0.png", *PROMPT, "--model", "unfinished"), "unfinished: no model folder yet"),
        (("--subject", "0.png", "--prompt", "a red mug " * 12), "prompt: 38 tokens; the text encoder takes 24"),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, monkeypatch, words, message):
    (folder / "unfinished").mkdir(exist_ok=True)
    (folder / "unfinished/run.json").write_bytes((folder / "run/run.json").read_bytes())
    monkeypatch.chdir(folder)
    result = run(folder, *words, "--output", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and result.output.count("\n") == 1
    assert message in result.output
    assert not (tmp_path / "out").exists()
