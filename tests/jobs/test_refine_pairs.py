"""Other people's pairs refined: a run like any other, whose odd rows end alone."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from actors.read_pairs import ReadPairs
from actors.shard import PairState, Shard
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from actors.stages.screen import Screen
from jobs import export, refilter, refine_pairs, status, verify
from jobs.generate import generate
from tests.helpers.pair_sets import (
    WRITERS,
    noise,
    refinement,
    source_of,
    texts,
    write_instructpix2pix,
    write_parquet,
    write_views,
)
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.images import decode, encode_png, fit_square
from toffee_pipeline.rundir.layout import PAIR_LIST
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow

QUICK = "stages.refine.sampling.num_inference_steps=4"


class PaintGiven(Stage):
    """Fills what the models' stages fill; every third pair has a score too low."""

    name = "score"

    def process(self, shard: Shard) -> None:
        def store(state: PairState, score: float) -> None:
            state.target = state.draft
            state.scores = {"dino": score, "clip": 0.9}

        self.run(shard.open_pairs(), lambda batch: [(0.1, 0.9, 0.9)[int(state.id[1:]) % 3] for state in batch], store)


STUB_STAGES: StageTable = {stage.name: stage for stage in (PaintGiven, Judge)}


def rows_of(uri, folder="_ledger", endpoint_url=None):
    storage = open_storage(str(uri), endpoint_url)
    files = [file for manifest in read_manifests(storage) for file in manifest.files if file.folder == folder]
    return [row for file in files for row in pq.read_table(io.BytesIO(storage.get(file.key))).to_pylist()]


def call(command, *arguments):
    return CliRunner().invoke(command.main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize("form", WRITERS)
def test_a_set_becomes_a_run_that_is_verified_exported_and_judged_again(form, tmp_path):
    WRITERS[form](tmp_path / "set", 7)
    run = tmp_path / "run"
    summary = generate(refinement(form, tmp_path / "set"), str(run), stages=STUB_STAGES)
    assert (summary.planned, summary.accepted, summary.rejected) == (7, 4, {"low_dino": 3})
    ledger = rows_of(run)
    assert [row["pair_id"] for row in ledger] == [f"p{number:09d}" for number in range(7)]
    assert {row["kind"] for row in ledger} == {"generation"} and len({row["source_path"] for row in ledger}) == 7
    assert all(json.loads(row["source"]) for row in ledger)
    for row in rows_of(run, "data"):
        assert row["source"] == ledger[int(row["pair_id"][1:])]["source"]
        given = decode(row["input_image"]["bytes"]).astype(int)
        assert np.abs(given - noise(int(row["pair_id"][1:]))).mean() < 15
    checked = call(verify, run)
    assert checked.exit_code == 0, checked.output
    assert "refine_pairs" in call(status, run, "--json").output
    assert call(export, run, "--format", "huggingface", "--output", tmp_path / "export").exit_code == 0
    card = " ".join((tmp_path / "export/README.md").read_text().split())
    assert f"The set is `{tmp_path / 'set'}`, read as `{form}`" in card
    assert "stays under the set's licence, which is not known here" in card and "in 64 px" in card
    assert "Prompts, captions and instructions are the set's own" in card and "none is in two of them" in card
    for false in ("catalogue", "View Generator", "makers of this dataset gave", "All pictures are synthetic", "depth"):
        assert false not in card, false
    assert "from images that were given" in (tmp_path / "export/croissant.json").read_text()
    again = call(refilter, run, "--output", tmp_path / "view", "--set", "filter.min_dino=null")
    assert again.exit_code == 0 and "7 accepted (4 before)" in again.output


def test_pairs_of_one_input_image_are_one_subject(tmp_path):
    """Such as five edits of each picture: they fall into one split, and under one cap."""
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [
        {**texts(number), "input_image": encode_png(noise(number % 4)), "target_image": encode_png(noise(9 + number))}
        for number in range(20)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")
    columns = "source.columns={class_name: null, category: null}"
    config = refinement("parquet", folder, columns, "stages.judge.min_dino=0")
    generate(config, str(tmp_path / "run"), stages=STUB_STAGES)
    splits = ("--split", "a=0.5", "--split", "b=0.5")
    done = call(export, tmp_path / "run", "--format", "huggingface", "--output", tmp_path / "export", *splits)
    assert done.exit_code == 0, done.output
    split_of = {}
    for path in (tmp_path / "export").glob("*/*.parquet"):
        for name in pq.read_table(path)["pair_id"].to_pylist():
            split_of.setdefault(int(name[1:]) % 4, []).append(path.parent.name)
    assert [(len({*each}), len(each)) for each in split_of.values()] == [(1, 5)] * 4
    assert {each[0] for each in split_of.values()} == {"a", "b"}
    cut = call(refilter, tmp_path / "run", "--output", tmp_path / "view", "--set", "max_per_subject=2")
    assert "8 accepted (20 before)" in cut.output


def test_readers_of_whole_folders_find_the_accepted_rows_alone(tmp_path):
    """And not those of the list of what was given, which is Parquet too."""
    write_parquet(tmp_path / "set", 7)
    generate(refinement("parquet", tmp_path / "set"), str(tmp_path / "run"), stages=STUB_STAGES)
    assert (tmp_path / "run" / PAIR_LIST).is_file()
    found = pyarrow.dataset.dataset(str(tmp_path / "run"), format="parquet", exclude_invalid_files=True)
    accepted = [row["pair_id"] for row in rows_of(tmp_path / "run") if row["status"] == "accepted"]
    assert sorted(found.to_table(columns=["pair_id"])["pair_id"].to_pylist()) == accepted and len(accepted) == 4


def test_odd_rows_are_rejected_alone_with_their_names(tmp_path):
    """A missing partner, sizes that differ, transparency, a broken image, a prompt that is not there."""
    write_instructpix2pix(tmp_path / "set", 6, seeds=1)
    folders = [tmp_path / f"set/{number:07d}" for number in range(6)]
    (folders[0] / "0_1.jpg").unlink()
    Image.fromarray(noise(9, 40, 90)).save(folders[1] / "1_1.jpg", "PNG")
    alpha = Image.fromarray(noise(8)).convert("RGBA")
    alpha.putalpha(0)
    alpha.save(folders[2] / "2_0.jpg", "PNG")
    (folders[3] / "3_0.jpg").write_bytes(b"no image")
    (folders[4] / "prompt.json").unlink()
    config = refinement("instructpix2pix", tmp_path / "set", "output.image_format=png")
    summary = generate(config, str(tmp_path / "run"), stages=STUB_STAGES)
    assert summary.rejected == {"unreadable": 3} and summary.accepted == 3 and summary.failed == 0
    assert summary.unreadable == {
        "0000000/0": "0000000/0_1.jpg: no such file",
        "0000003/3": summary.unreadable["0000003/3"],
        "0000004/4": "no prompt.json",
    }
    rows = {row["pair_id"]: row for row in rows_of(tmp_path / "run", "data")}
    first, second, _ = (rows[f"p{number:09d}"] for number in (1, 2, 5))
    wide = decode(first["target_image"]["bytes"])
    assert np.array_equal(wide, fit_square(noise(9, 40, 90), 64))
    assert (decode(second["input_image"]["bytes"]) == 255).all()  # what is transparent lies over white


def test_a_run_goes_on_and_other_files_are_refused(tmp_path):
    write_parquet(tmp_path / "set", 7)
    config, run = refinement("parquet", tmp_path / "set"), tmp_path / "run"
    generate(config, str(run), stages=STUB_STAGES)
    before = rows_of(run)
    storage = open_storage(str(run))
    storage.delete("_manifests/shard-000001.json")
    storage.delete("summary.json")
    summary = generate(config, str(run), stages=STUB_STAGES)
    assert summary.planned == 7

    def what(rows):
        return [{name: value for name, value in row.items() if name != "stage_s"} for row in rows]

    assert what(rows_of(run)) == what(before)
    write_parquet(tmp_path / "set", 8)
    with pytest.raises(RunMismatch, match="a run of other images: 1 files of .* bytes then, 1 files of"):
        generate(config, str(run), stages=STUB_STAGES)
    assert what(rows_of(run)) == what(before)


@pytest.mark.parametrize(
    "fate, rejected, said",
    [("refuse", {"low_dino": 1, "other_language": 1}, "rejected"), ("pass", {"low_dino": 2}, "kept")],
)
def test_prompts_in_other_languages_are_refused_or_passed_and_counted(fate, rejected, said, tmp_path, capsys):
    write_instructpix2pix(tmp_path / "set", 4, seeds=1)
    about = tmp_path / "set/0000000/prompt.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "output": "une tasse rouge dans la forêt"}))
    config = refinement("instructpix2pix", tmp_path / "set", f"other_languages={fate}")
    summary = generate(config, str(tmp_path / "run"), stages=STUB_STAGES)
    assert summary.rejected == rejected
    assert f"1 of 4 prompts are not English: their pairs are {said}" in capsys.readouterr().err
    few = refinement("instructpix2pix", tmp_path / "set", f"other_languages={fate}", "max_pairs=2")
    generate(few, str(tmp_path / "few"), stages=STUB_STAGES)
    assert f"1 of 2 prompts are not English: their pairs are {said}" in capsys.readouterr().err


def test_what_a_set_says_is_screened(tmp_path):
    write_parquet(tmp_path / "set", 4)
    config = refinement("parquet", tmp_path / "set", "stages.screen.deny=[red 2]")
    summary = generate(config, str(tmp_path / "run"), stages={Screen.name: Screen, **STUB_STAGES})
    assert summary.rejected == {"low_dino": 2, "unsafe": 1}
    assert [row["pair_id"] for row in rows_of(tmp_path / "run") if row["reason"] == "unsafe"] == ["p000000002"]


def test_only_the_first_pairs(tmp_path):
    write_parquet(tmp_path / "set", 7)
    assert (
        generate(
            refinement("parquet", tmp_path / "set", "max_pairs=4"), str(tmp_path / "run"), stages=STUB_STAGES
        ).planned
        == 4
    )


@pytest.mark.parametrize("form", WRITERS)
def test_set_and_run_on_s3(form, tmp_path, s3):
    uri, endpoint = s3
    WRITERS[form](tmp_path / "set", 4)
    storage = open_storage(f"{uri}/set", endpoint)
    for path in (tmp_path / "set").rglob("*.*"):
        storage.put_file(path.relative_to(tmp_path / "set").as_posix(), path)
    more = f", endpoint_url: '{endpoint}'"
    config = refinement(form, f"{uri}/set", f"output.endpoint_url={endpoint}", more=more)
    assert generate(config, f"{uri}/run", stages=STUB_STAGES).accepted == 2
    local = generate(refinement(form, tmp_path / "set"), str(tmp_path / "run"), stages=STUB_STAGES)
    assert local.accepted == 2
    names = ("pair_id", "pair_seed", "prompt", "source", "source_path", "subject_phash", "status")
    on_s3, here = (
        [[row[name] for name in names] for row in rows]
        for rows in (rows_of(f"{uri}/run", endpoint_url=endpoint), rows_of(tmp_path / "run"))
    )
    assert on_s3 == here


def test_nothing_that_can_be_read_is_said_at_the_end(tmp_path):
    write_instructpix2pix(tmp_path / "set", 2)
    for path in (tmp_path / "set").rglob("*.jpg"):
        path.write_bytes(encode_png(noise(0))[:50])
    summary = generate(refinement("instructpix2pix", tmp_path / "set"), str(tmp_path / "run"), stages=STUB_STAGES)
    assert summary.rejected == {"unreadable": 2} and len(summary.unreadable) == 2


def test_a_read_shard_travels_as_bytes(tmp_path):
    write_parquet(tmp_path / "set", 3)
    config = refinement("parquet", tmp_path / "set")
    generate(config, str(tmp_path / "run"), stages=STUB_STAGES)
    shard = ReadPairs(config, str(tmp_path / "run"))(0)
    shard.pairs[0].draft_mask = b"mask"
    assert shard_from_bytes(0, shard_to_bytes(shard)) == shard


@pytest.mark.parametrize("region", ["everywhere", "subject"])
def test_the_real_stages(region, tmp_path):
    """Of noise the networks of the small world find no subject: with a region it is said, without one it is painted."""
    write_parquet(tmp_path / "set", 2)
    sets = [source_of("parquet", tmp_path / "set"), f"stages.refine.region={region}", "placement=inline", QUICK]
    words = [word for item in sets for word in ("--set", item)]
    done = call(refine_pairs, "--config", "nano", "--output", tmp_path / "run", *words)
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert {"dino", "refiner", "vae", "clip", "filter_dino"} < run["roles"].keys() and "subject" not in run["roles"]
    ledger = rows_of(tmp_path / "run")
    if region == "subject":
        assert {row["reason"] for row in ledger} == {"no_mask"}
        return
    kept = [*rows_of(tmp_path / "run", "data"), *rows_of(tmp_path / "run", "_rejected")]
    assert len(kept) == 2 and all(row["dino_score"] is not None for row in kept)
    for row in kept:
        assert row["target_image"]["bytes"] != row["draft_image"]["bytes"] and row["mask"] is None


def test_in_views_of_one_subject_it_is_found_and_painted_anew(tmp_path):
    """The default of the profile: Grounded-SAM finds the subject in both, and what is inside is mixed."""
    write_views(tmp_path / "set", 4)
    sets = [f"source={{format: parquet, path: '{tmp_path / 'set'}'}}", "placement=inline", QUICK]
    words = [word for item in sets for word in ("--set", item)]
    done = call(refine_pairs, "--config", "nano", "--output", tmp_path / "run", *words)
    assert done.exit_code == 0, done.output
    assert "no_mask" not in {row["reason"] for row in rows_of(tmp_path / "run")}
    accepted = rows_of(tmp_path / "run", "data")
    assert accepted
    for row in accepted:
        assert row["mask"] is not None
        draft, target = (decode(row[name]["bytes"]).astype(int) for name in ("draft_image", "target_image"))
        assert np.abs(draft - target).mean() > 1


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path):
    write_parquet(tmp_path / "set", 2)
    source = source_of("parquet", tmp_path / "set")
    said = call(refine_pairs, "--config", "nano", "--output", tmp_path / "run", "--dry-run", "--set", source)
    assert (
        said.exit_code == 0 and "2 pairs of 2 subjects in 2 shards" in said.output and not (tmp_path / "run").exists()
    )


def test_a_region_needs_grounded_sam(tmp_path):
    sets = ["--set", "models.detector=null", "--set", "stages.refine.region=subject"]
    refused = call(refine_pairs, "--config", "nano", "--output", tmp_path / "run", *sets)
    assert refused.exit_code == 2 and "needs models.detector and models.segmenter" in refused.output
