"""What an export says of itself: Croissant's own library validates and reads it, and the card's numbers are true."""

import json
from fnmatch import fnmatch

import mlcroissant
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from jobs import export, refilter
from tests.helpers.pixels import pixels
from tests.helpers.planned_run import write_finished_run, write_planned_run
from toffee_pipeline.export.words import words_of
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.prompt_bank import write_prompt_bank
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import LocalStorage

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", ["huggingface", "subjects200k", "webdataset", "lance", "imagefolder"])
def test_croissant_is_valid(exported, form):
    dataset = mlcroissant.Dataset(jsonld=str(exported(form) / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    named = {resource.content_url for resource in dataset.metadata.file_objects}
    there = {path.relative_to(exported(form)).as_posix() for path in exported(form).rglob("*") if path.is_file()}
    extra = {"README.md", "croissant.json"}
    expected = {name for name in there - extra if not name.startswith("_") and "/_" not in name}
    if form != "imagefolder":
        assert named == expected
        return
    # a file for each image would grow with the dataset: these are sets
    assert named == {name for name in expected if name.endswith("/metadata.parquet")}
    patterns = [pattern for files in dataset.metadata.file_sets for pattern in files.includes]
    for name in expected - named:
        assert sum(fnmatch(name, pattern) for pattern in patterns) == 1, name
    assert not any(fnmatch(name, pattern) for name in named for pattern in patterns)


def test_croissant_gives_the_rows(run, exported):
    _, rows = run
    found = described(exported("huggingface"))
    assert sorted(found) == sorted(rows)
    for name, row in found.items():
        for column in IMAGE_COLUMNS:
            assert np.array_equal(pixels(row[column]), pixels(rows[name][column]["bytes"])), column
        assert row["prompt"].decode() == rows[name]["prompt"] and row["pair_seed"] == rows[name]["pair_seed"]
        assert row["dino_score"] == 0.5


def test_croissant_gives_the_rows_of_subjects200k(run, exported):
    _, rows = run
    found = described(exported("subjects200k"))
    assert sorted(found) == sorted(name for name, row in rows.items() if row["kind"] == "generation")
    for name, row in found.items():
        assert pixels(row["image"]).shape == (64, 128, 3) and set(row["quality_assessment"].values()) == {5}
        assert row["description"]["item"].decode() == rows[name]["class_name"]
        assert row["description"]["description_1"].decode() == rows[name]["prompt"]
        assert row["description"]["description_valid"] is True


def described(path):
    """The rows of all splits by id, as Croissant's library reads them."""
    dataset = mlcroissant.Dataset(jsonld=str(path / "croissant.json"))
    rows = [short(record) for split in ("train", "test") for record in dataset.records(split)]
    return {row["pair_id"].decode(): row for row in rows}


def short(record):
    """With the last word of each name."""
    return {
        name.rpartition("/")[2]: short(value) if isinstance(value, dict) else value for name, value in record.items()
    }


def test_the_card_tells_what_it_is(run, exported):
    _, rows = run
    _, head, text = (exported("huggingface") / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "cc-by-4.0"
    counts = {kind: sum(row["kind"] == kind for row in rows.values()) for kind in ("generation", "edit")}
    assert f"{len(rows)} image pairs" in text
    lines = [line for line in text.splitlines() if line.startswith(("| train |", "| test |"))]
    cells = np.array([[int(cell) for cell in line.split("|")[2:4]] for line in lines])
    assert cells.sum(axis=0).tolist() == [counts["generation"], counts["edit"]]
    judge = json.loads((run[0] / "run.json").read_text())["config"]["stages"]["judge"]
    assert "| `low_clip` | 6 |" in text and f"CLIP below {judge['min_clip']}" in text
    assert "an earlier one of its shard: differing bits of their perceptual hashes, below 6\n" in text
    assert "before the draft" not in text and "the view" not in text  # no gate is on, and it is no view
    assert "0.12 GPU hours" in text and f"{432 / len(rows):.3g} GPU seconds per accepted pair" in text
    assert "| refiner | nano weights" in text and "| subject | renderer (stand-in) | none |" in text
    assert "Stand-ins, which are no trained networks, played: mask, subject, view" in text


def test_the_card_names_gates_and_the_bounds_of_a_view(tmp_path):
    """Each reason that it counts has its bound."""
    run, cut, out = (tmp_path / name for name in ("run", "view", "out"))
    gates = ("check_subject.min_clip=0.1", "check_draft.min_clip=0.2", "check_refined.min_dino=0.3")
    write_finished_run(LocalStorage(str(run)), 48, *(f"stages.{gate}" for gate in gates))
    # its scores are all 0.5
    looser = ("filter.min_dino=0.4", "filter.min_hash_distance=null", "filter.min_change=null")
    caps = ("max_per_subject=3", "max_per_class=5", "max_per_category=fewest", "min_subject_hash_distance=4")
    call(refilter, run, "--output", cut, *(word for item in (*looser, *caps) for word in ("--set", item)))
    call(export, cut, "--format", "huggingface", "--output", out)
    text = (out / "README.md").read_text()
    assert "| `subject_full` |" in text and "| `category_full` |" in text and "DINO below 0.4\n" in text
    for sentence in (
        "CLIP before the draft, below 0.1",
        "CLIP before refining, below 0.2",
        "DINO before the other view is drawn, below 0.3",
        "of its class that the view has: differing bits of their perceptual hashes, below 4",
        "the view takes no more pairs of its subject than 3",
        "the view takes no more pairs of its class than 5",
        "the view takes no more pairs of its category than the one with the fewest has",
    ):
        assert f"{sentence}\n" in text, sentence


def test_the_card_says_who_wrote_the_words(tmp_path):
    """By the bank's rows as long as they are those of the plan."""
    bank, run = tmp_path / "bank.jsonl", tmp_path / "run"
    told = [("in a ruined chapel", "hand-written", "CC0-1.0"), ("under a paper lantern", "some/model@1", "Apache-2.0")]
    rows = [PromptRow(category="background", change=words, source=who, license=of) for words, who, of in told]
    write_prompt_bank(str(bank), rows)
    write_planned_run(LocalStorage(str(run)), 8, 64, False, f"pairs.prompt_bank={bank}", "subjects.source=synthesis")
    call(export, run, "--format", "huggingface", "--output", tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    assert "made by templates from the catalogue `nano`. " in text and "They are in English." in text
    named = "1 rows by hand-written (CC0-1.0); 1 rows by some/model@1 (Apache-2.0)"
    assert f"Changes are also of the prompt bank `{bank}`: {named}. " in text
    write_prompt_bank(str(bank), rows[:1])
    storage = LocalStorage(str(run))
    for lose in (lambda: None, bank.unlink):
        lose()
        told_now = " ".join(words_of(read_pairs(storage), storage, captions=False))
        assert f"`{bank}`: who wrote its rows, and under which licences, is not known any more." in told_now


def test_captions_and_other_languages_are_told(tmp_path):
    for name in ("mug", "cat"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / name / "1.png")
    settings = ("subjects.source=folder", f"subjects.path={tmp_path / 'photos'}", "other_languages=pass")
    write_planned_run(LocalStorage(str(tmp_path / "run")), 8, 64, False, *settings)
    call(export, tmp_path / "run", "--format", "huggingface", "--output", tmp_path / "out")
    _, head, text = (tmp_path / "out/README.md").read_text().split("---\n", 2)
    assert "language" not in yaml.safe_load(head)
    assert "said of its subject are that caption's words. What was in other languages than English was kept." in text
    assert "Splits are by subject, which is a folder of the images that were given, or else a file:" in text
    assert "but for the subjects, which are images that the makers of this dataset gave." in text


def call(job, *words):
    done = CliRunner().invoke(job.main, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
