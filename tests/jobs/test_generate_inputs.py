"""What the main job says of its own catalogue and images before it writes anything."""

import numpy as np
import pytest
from click.testing import CliRunner

from jobs import generate
from toffee_pipeline.images import encode_png

pytestmark = pytest.mark.slow

LONG = "in a " + "very " * 20 + "dark forest"
CATALOG = f"""
prompts: {{style: "{{change}} of a {{class}}", background: "a {{class}} {{change}}", color: "{{change}} {{class}}",
          texture: "{{class}} {{change}}", addition: "{{class}} with {{change}}",
          removal: "{{class}} without {{change}}"}}
instructions: {{style: "make it {{change}}", background: "put it {{change}}", color: "make it {{change}}",
  texture: "make it {{change}}", addition: "add {{change}}", removal: "remove {{change}}"}}
draft_prompts: {{style: [{{medium: "{{change}}"}}], background: [{{class: "{{class}} {{change}}"}}],
                color: [{{class: "{{change}} {{class}}"}}],
                texture: [{{class: "{{class}} {{change}}"}}], addition: [{{class: "{{class}} with {{change}}"}}],
                removal: [{{class: "{{class}} without {{change}}"}}]}}
changes: {{all: {{background: [on a beach, {LONG}]}}}}
groups: {{things: {{prompts: ["{{medium}} of a {{class}}"], classes: [mug]}}}}
"""


def start(output, *overrides):
    words = [word for item in overrides for word in ("--set", item)]
    return CliRunner().invoke(generate.main, ["--output", str(output), *words])


def dry_run(output, *overrides):
    words = [word for item in overrides for word in ("--set", item)]
    return CliRunner().invoke(generate.main, ["--output", str(output), "--dry-run", *words])


def test_a_prompt_that_does_not_fit_is_said_before_anything_is_written(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(CATALOG)
    result = start(tmp_path / "run", f"subjects.catalog={path}", "pairs.edit_fraction=0")
    assert result.exit_code == 2
    assert f"but the text encoder takes 24: 'a photo of a mug {LONG}'" in result.stderr
    assert result.stderr.startswith("error: subjects.catalog or pairs.prompt_bank: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_prompt_that_does_not_fit_ends_no_dry_run(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(CATALOG)
    result = dry_run(tmp_path / "run", f"subjects.catalog={path}", "pairs.edit_fraction=0")
    assert result.exit_code == 0
    assert "subjects.catalog or pairs.prompt_bank: a prompt of " in result.stderr
    assert f"the text encoder takes 24: 'a photo of a mug {LONG}'; no run starts with it" in result.stderr
    assert f"too long, so its pairs fail: 'a photo of a mug {LONG}'" in result.stdout.splitlines()
    path.write_text(CATALOG.replace(LONG, "on a hill"))
    said = dry_run(tmp_path / "run", f"subjects.catalog={path}", "pairs.edit_fraction=0")
    assert said.exit_code == 0 and "no run starts" not in said.stderr


def test_a_dry_run_counts_prompts_of_other_languages(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(CATALOG.replace(LONG, "on a hill").replace("[mug]", "[mug, 茶壶]"))
    few = ("pairs.count=40", "pairs.edit_fraction=0", f"subjects.catalog={path}")
    lines = dry_run(tmp_path / "run", *few).stdout.splitlines()
    told = " of these are not English, which CLIP's filter does not understand"
    assert f"language: 3{told}" in lines  # a subject, and it in two places
    assert "not English: 'a photo of a 茶壶'" in lines
    path.write_text(CATALOG.replace(LONG, "on a hill"))
    assert f"language: 0{told}" in dry_run(tmp_path / "run", *few).stdout.splitlines()


def test_a_dry_run_is_a_plan_of_the_data(tmp_path):
    result = dry_run(tmp_path / "run", "pairs.count=400", "subjects.class_quotas={mug: 60}", "pairs.removal=repaint")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    (mug,) = (line.split() for line in lines if line.startswith("mug "))
    (total,) = (line.split() for line in lines if line.startswith("all "))
    assert "counted over all 100 subjects" in lines
    assert int(mug[1]) == 60 and int(total[1]) == 100 and sum(map(int, total[2:])) == 400
    assert any(line.startswith("subjects: 100, ") and line.endswith(" different") for line in lines)
    assert any(line.startswith("tokens: at most ") and "of 24" in line for line in lines)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_needs_no_weights(tmp_path):
    """Nor the network: of SDXL's files only the tokenizer would be read, which is CLIP's own."""
    gone = f"models.sdxl.path={tmp_path / 'sdxl'}"
    words = ["--config", "sdxl", "--set", gone, "--set", "pairs.per_subject=1", "--set", "pairs.count=500000"]
    result = CliRunner().invoke(generate.main, [*words, "--output", str(tmp_path / "run"), "--dry-run"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count(": missing: ") == 6  # SDXL in three roles, and what must be trained or fetched
    assert "estimated from 1,024 of 500,000 subjects, in 64 stretches" in result.stdout
    assert "of 77 in" in result.stdout and "; 0 are too long" in result.stdout
    assert not (tmp_path / "run").exists()


def test_a_caption_that_is_too_long_is_counted(tmp_path):
    (tmp_path / "photos").mkdir()
    for name, caption in (("a", "a red mug"), ("b", LONG)):
        (tmp_path / "photos" / f"{name}.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
        (tmp_path / "photos" / f"{name}.txt").write_text(caption)
    result = dry_run(tmp_path / "run", "subjects.source=folder", f"subjects.path={tmp_path / 'photos'}")
    assert result.exit_code == 0
    assert "too long, so its pairs fail: 'a " in result.stdout and f"{LONG}'\n" in result.stdout


def test_a_quota_that_cannot_be_met_is_one_line(tmp_path):
    line, quotas = "subjects.class_quotas: they ask for 21 subjects, the plan has 16\n", "{teapot: 15, mug: 6}"
    result = start(tmp_path / "run", f"subjects.class_quotas={quotas}")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: {line}")
    assert not (tmp_path / "run").exists()
    planned = dry_run(tmp_path / "run", f"subjects.class_quotas={quotas}")
    lines = planned.stdout.splitlines(keepends=True)
    assert planned.exit_code == 0 and line in lines
    planned = [row.split()[:2] for row in lines if row.startswith(("teapot ", "mug "))]
    assert sorted(planned) == [["mug", "1"], ["teapot", "15"]]


def test_what_is_left_out_of_the_folder_is_said(tmp_path):
    for name in ("dog/0.jpg", "dog/._0.jpg", "dog/1.heic"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    result = dry_run(tmp_path / "run", "subjects.source=folder", f"subjects.path={tmp_path / 'photos'}")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "subjects.path: 1 left out (hidden, or the system's own): dog/._0.jpg",
        "subjects.path: 1 left out (formats that are not read): dog/1.heic",
    ]


def test_a_folder_of_broken_files_alone_is_one_line(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.png").write_text("not an image" * number)
    result = dry_run(tmp_path / "run", "subjects.source=folder", f"subjects.path={tmp_path / 'photos'}")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"error: subjects.path: no image below {tmp_path / 'photos'} can be read: 0.png: empty"
    )
    assert result.stderr.endswith("; and 2 more\n") and result.stderr.count("\n") == 1
