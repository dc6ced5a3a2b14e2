"""What the main job says of its own catalogue and images before it writes anything."""

import numpy as np
from click.testing import CliRunner

from jobs import generate
from toffee_pipeline.images import encode_png

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


def dry_run(output, *overrides):
    words = [word for item in overrides for word in ("--set", item)]
    return CliRunner().invoke(generate.main, ["--output", str(output), "--dry-run", *words])


def test_a_prompt_that_does_not_fit_is_said_before_anything_is_written(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(CATALOG)
    result = dry_run(tmp_path / "run", f"subjects.catalog={path}", "pairs.edit_fraction=0")
    assert result.exit_code == 2
    assert f"but the text encoder takes 24: 'a photo of a mug {LONG}'" in result.stderr
    assert result.stderr.startswith("error: subjects.catalog: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
    path.write_text(CATALOG.replace(LONG, "on a hill"))
    assert dry_run(tmp_path / "run", f"subjects.catalog={path}", "pairs.edit_fraction=0").exit_code == 0


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
