"""What jobs/catalog.py says of a catalogue."""

import json
import re

import pytest
from click.testing import CliRunner

from jobs.catalog import main
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.plan.prompt_bank import PACKAGED

pytestmark = pytest.mark.slow

OWN = """
prompts: {style: "{change} of a(n) {class}", background: "a photo of a(n) {class} {change}", color: "{change} {class}",
          texture: "{class} {change}", addition: "{class} with {change}", removal: "{class} without {change}"}
instructions: {style: "make it {change}", background: "put it {change}", color: "make it {change}",
               texture: "turn it into a {class} {change}", addition: "add {change}", removal: "remove {change}"}
draft_prompts: {style: [{medium: "{change}"}], background: [{class: "{class} {change}"}],
                color: [{color: "{change}"}, {class: "{change} {class}"}], texture: [{class: "{class} {change}"}],
                addition: [{class: "{class} with {change}"}], removal: [{class: "{class} without {change}"}]}
changes: {all: {background: [on a beach, PLACE]}}
groups:
  things:
    {prompts: ["{medium} of a(n) {size} {class}"], descriptions: {size: [small, big]}, classes: [teapot: [a lid], cup]}
"""


def check(*words):
    return CliRunner().invoke(main, ["check", *words])


def test_a_sound_catalogue_is_counted_and_shown(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    result = check(str(tmp_path / "own.yaml"), "--samples", "3")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["class", "nature", "prompts", *CATEGORIES]
    assert ["teapot", "object", "2", "0", "2", "0", "0", "0", "1"] in map(str.split, lines)
    assert "2 classes, 0 of them live; 4 different subject prompts, 2 of the class with fewest" in lines
    assert "color: no change for teapot, cup" in lines
    assert "fewer than 2,000 different subject prompts: teapot, cup" in lines
    samples = [line for line in lines if re.match("  a photo of a (small|big) (teapot|cup)$", line)]
    assert len(samples) == 3
    assert any(line.startswith("    background: a photo of a ") for line in lines)
    assert check(str(tmp_path / "own.yaml"), "--samples", "3").stdout == result.stdout
    assert check(str(tmp_path / "own.yaml"), "--samples", "3", "--seed", "1").stdout != result.stdout


def test_a_catalogue_of_the_package_is_known_by_its_name():
    result = check("toffee", "--samples", "0")
    assert result.exit_code == 0
    rows = {line.split("  ")[0] for line in result.stdout.splitlines()}
    assert {entry.name for entry in load_catalog("toffee").classes} <= rows
    assert "of CLIP's 77 tokens: a " in result.stdout


def test_problems_of_a_bank_are_counted_beyond_those_that_are_kept(tmp_path):
    path = tmp_path / "bank.jsonl"
    path.write_text('{"category": "none"}\n' * 1500)
    result = check(str(path))
    assert result.exit_code == 1 and "... and 1,400 more problems\n" in result.stdout


def test_all_problems_are_named_with_line_and_key(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace("[small, big]", "[small, small]").replace("background: [on", "weather: [on"))
    result = check(str(path))
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{path}: line 9: changes.all.weather")
    assert second == f"{path}: line 12: groups.things.descriptions.size: 'small' is there twice"


@pytest.mark.parametrize("content", ["prompts: {}\ngroups: [a]]", "groups: {}\ngroups: {}"])
def test_what_is_no_yaml_is_a_problem_with_its_line(tmp_path, content):
    (tmp_path / "own.yaml").write_text(content)
    result = check(str(tmp_path / "own.yaml"))
    assert result.exit_code == 1 and result.stdout.count("\n") == 1
    assert result.stdout.startswith(f"{tmp_path / 'own.yaml'}: no valid YAML: line 2: ")


def test_a_prompt_that_is_too_long_for_clip_is_a_problem(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN.replace("PLACE", "in a " + "very " * 80 + "dark forest"))
    result = check(str(tmp_path / "own.yaml"), "--samples", "0")
    assert result.exit_code == 1
    assert re.search(r"own.yaml: a prompt of \d\d tokens, but the text encoder takes 77: 'a photo of ", result.stdout)


def test_no_such_file_is_one_line():
    result = check("no.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: catalog 'no.yaml': No such file") and result.stderr.count("\n") == 1


def test_a_prompt_bank_is_counted_and_shown():
    result = check(str(PACKAGED["toffee"]), "--samples", "4")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["category", "any", "live", "object", "classes"]
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] in [[c] for c in CATEGORIES]}
    assert rows.keys() == set(CATEGORIES) and rows["removal"][:3] == ["0", "0", "0"] and int(rows["removal"][3]) > 200
    assert sum(line.startswith("    ") for line in lines) == 4
    assert re.fullmatch(r"longest prompt: \d\d of CLIP's 77 tokens: .*", lines[-1])


def test_what_is_wrong_with_a_prompt_bank_is_named_with_its_line(tmp_path):
    row = {"category": "style", "change": "a fresco", "source": "hand-written", "license": "CC0-1.0"}
    rows = [row, row | {"category": "mood"}, row | {"change": "a mural", "applies_to": ["tea pot"]}]
    path = tmp_path / "bank.jsonl"
    path.write_text(
        "\n".join(map(json.dumps, [*rows, row | {"change": "in the snow"}, row | {"change": "ein Gemälde in Öl"}]))
    )
    result = check(str(path), "--samples", "0", "--catalog", "nano")
    assert result.exit_code == 1
    assert f"{path}: line 2: category: Input should be 'style', " in result.stdout
    assert f"{path}: line 3: applies_to: the catalogue has no class tea pot" in result.stdout
    assert "pairs.prompt_bank: 1 rows not in English are left out" in result.stdout
    assert "1 rows of DreamBench's prompts (evaluation.allow_benchmark_prompts) are left out" in result.stdout
    assert "4 rows\n" in result.stdout


def test_no_such_prompt_bank_is_one_line(tmp_path):
    result = check(str(tmp_path / "no.parquet"))
    assert (result.exit_code, result.stdout) == (2, "") and result.stderr.count("\n") == 1
