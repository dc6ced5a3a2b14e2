"""jobs/refilter.py: a view accepts what a run with its settings would have accepted, and every reader reads it."""

import json
import re
import shutil
from collections import Counter

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from jobs import export, refilter, remake, status, verify
from tests.helpers.scored_run import write_run
from tests.helpers.training import make_config, make_reader
from toffee_pipeline.config.train import RunSource, ToffeeNetTraining
from toffee_pipeline.images import decode
from toffee_pipeline.report.curves import curves_of, heat_map
from toffee_pipeline.report.listing import Listing
from toffee_pipeline.report.shard_rows import read_ledger
from toffee_pipeline.report.site import make_site
from toffee_pipeline.report.wanted import Wanted
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.dataset import load_pairs
from toffee_pipeline.rundir.description import read_pairs, read_run
from toffee_pipeline.rundir.index import read_whole_ledger
from toffee_pipeline.rundir.layout import SUMMARY
from toffee_pipeline.rundir.manifests import data_files, read_manifests
from toffee_pipeline.rundir.pictures import ShardPictures
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.pair_stream import PairStream
from toffee_pipeline.train.data.sources.run import Run

pytestmark = pytest.mark.slow

LOOSER = ("filter.min_dino=0.2", "filter.min_clip=0.1", "filter.max_dino=0.8")
TIGHTER = ("filter.min_dino=0.7",)


def call(job, *words):
    return CliRunner().invoke(job.main, [str(word) for word in words], catch_exceptions=False)


def view(run, output, *settings, more=()):
    done = call(refilter, run, "--output", output, *(word for item in settings for word in ("--set", item)), *more)
    assert done.exit_code == 0, done.output
    return str(output)


def ledger(uri):
    """Rows by id, as readers of a run or view see them."""
    storage = open_storage(uri)
    return {
        row["pair_id"]: row for manifest in read_manifests(storage) for row in read_ledger(storage, manifest, PAIRS)
    }


def verdicts(uri):
    return {name: (row["status"], row["reason"]) for name, row in ledger(uri).items()}


def accepted(uri):
    return sorted(name for name, row in ledger(uri).items() if row["status"] == "accepted")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """With pairs accepted and rejected of both kinds, and removals that turn additions round; all images are kept."""
    uri = write_run(tmp_path_factory.mktemp("run") / "run", "output.keep=scored")
    rows = ledger(uri).values()
    assert {row["status"] for row in rows} == {"accepted", "rejected"} and {row["kind"] for row in rows} == set(
        PAIRS.files
    )
    assert any(row["reason"] == "not_added" for row in rows)
    return uri


@pytest.fixture(scope="module")
def looser(run, tmp_path_factory):
    """A view that takes pairs back and drops others."""
    uri = view(run, tmp_path_factory.mktemp("looser") / "view", *LOOSER)
    before, after = set(accepted(run)), set(accepted(uri))
    assert after - before and before - after
    return uri


def test_its_own_thresholds_give_the_run_again(run, tmp_path):
    assert verdicts(view(run, tmp_path / "view")) == verdicts(run)


@pytest.mark.parametrize("settings", [LOOSER, TIGHTER])
def test_other_thresholds_give_what_a_run_with_them_gives(run, tmp_path, settings):
    other = write_run(tmp_path / "other", *(item.replace("filter.", "stages.judge.") for item in settings))
    assert verdicts(view(run, tmp_path / "view", *settings)) == verdicts(other)
    known, seen = (read(open_storage(str(tmp_path / name)), SUMMARY, Summary) for name in ("other", "view"))
    assert known.accepted == seen.accepted and known.rejected == seen.rejected
    assert (known.by_kind, known.by_category, known.by_class) == (seen.by_kind, seen.by_category, seen.by_class)


def test_a_view_says_first_how_other_readers_get_its_pairs(run, looser, tmp_path):
    with pytest.raises(datasets.exceptions.DatasetGenerationError):
        datasets.load_dataset(looser, cache_dir=str(tmp_path))
    title, first, then = open_storage(looser).get("README.md").decode().split("\n\n", 2)
    assert title == "# A view of a run" and "find no pair here" in first and "--materialize" in first
    assert f"`{run}`" in then


def test_training_reads_the_accepted_pairs_with_their_images(looser):
    rows = ledger(looser)
    source = Run(RunSource(format="run", path=looser))
    records = [record for file in source.files() for record in source.read(file)]
    assert sorted(record.key for record in records) == accepted(looser)
    for record in records:
        seed = rows[record.key]["pair_seed"]
        noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        np.testing.assert_array_equal(record.images["target"](), noise)


def test_a_toffeenet_learns_from_the_accepted_pairs(looser):
    reader = make_reader(make_config(ToffeeNetTraining, f"data.sources=[{{format: run, path: '{looser}'}}]"))
    blocks = [block for read in range(reader.reads_per_epoch) for block in reader.blocks(read)]
    assert not any(block["error"].any() for block in blocks)
    rows = ledger(looser)
    assert sorted(text for block in blocks for text in block["text"]) == sorted(
        rows[name]["prompt"] for name in accepted(looser)
    )


def test_it_streams_to_pytorch(looser):
    stream = PairStream(RunSource(format="run", path=looser), 64, num_epochs=1)
    assert sorted(sample["pair_id"] for sample in stream) == accepted(looser)


def test_its_pages_show_its_verdicts_and_the_runs_pictures(looser, run):
    storage = open_storage(looser)
    rows = Listing(storage).after(Wanted({}), (0, 0), 100).rows
    assert {each.row["id"]: (each.row["status"], each.row["reason"]) for each in rows} == verdicts(looser)
    found = next(each for each in rows if each.row["id"] in set(accepted(looser)) - set(accepted(run)))
    client = TestClient(make_site(storage), base_url="http://127.0.0.1")
    page = client.get(f"/rows/{found.place[0]}/{found.place[1]}").text
    picture = client.get(re.search('src="(/images/[^"]*/target_image)"', page)[1])
    assert picture.headers["content-type"] == "image/png" and decode(picture.content).shape == (64, 64, 3)


def test_a_training_that_began_with_another_view_is_told(run, tmp_path):
    source = Run(RunSource(format="run", path=view(run, tmp_path / "view", *LOOSER)))
    other = Run(RunSource(format="run", path=view(run, tmp_path / "other", *TIGHTER)))
    assert set(source.files()) & set(other.files()) == set()
    with pytest.raises(Exception, match="shard 0 has changed since the training began"):
        list(source.read(other.files()[0]))


def test_it_opens_as_a_dataset(looser, tmp_path):
    pairs = load_pairs(looser, cache_dir=str(tmp_path))
    assert sorted(pairs["pair_id"]) == accepted(looser)
    assert set(pairs["status"]) == {"accepted"} and set(pairs["reason"]) == {None}
    assert pairs[0]["target_image"].size == (64, 64)


def test_it_is_published(looser, tmp_path):
    done = call(export, looser, "--format", "huggingface", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    rows = [row for path in (tmp_path / "out").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert sorted(row["pair_id"] for row in rows) == accepted(looser) and {row["status"] for row in rows} == {
        "accepted"
    }


def test_it_is_sound_and_finished(looser):
    checked = call(verify, looser)
    assert checked.exit_code == 0, checked.output
    shown = json.loads(call(status, looser, "--json").output)
    assert shown["state"] == "finished" and shown["totals"]["accepted"] == len(accepted(looser))


def test_a_report_shows_the_views_verdicts_and_pictures_and_what_other_thresholds_would_give(looser, run):
    drawn = call(refilter, run, "--output", looser, *(word for item in LOOSER for word in ("--set", item)), "--curve")
    assert drawn.exit_code == 0 and "nothing to do" in drawn.output and "report/index.html" in drawn.output
    storage = open_storage(looser)
    page = storage.get("report/index.html").decode()
    assert "model time per accepted pair" in page and "of the last start" not in page  # those seconds are of copying
    assert "Near the threshold: DINO at least 0.2" in page and "DINO and CLIP together" in page
    taken_back = sorted(set(accepted(looser)) - set(accepted(run)))[0]
    (manifest,) = (each for each in read_manifests(storage) if taken_back in each.view.verdicts)
    pictures = ShardPictures(storage, manifest, PAIRS).of(taken_back, ["target_image"])
    assert decode(pictures["target_image"]).shape == (64, 64, 3)


def test_a_run_with_a_gate_has_the_same_curves_and_none_of_the_gate(run, tmp_path):
    gated = write_run(tmp_path / "run", "output.keep=scored", "stages.check_draft.min_clip=0.2")
    view(gated, tmp_path / "view", *TIGHTER, more=["--curve"])
    storage = open_storage(gated)
    curves = curves_of(read_whole_ledger(storage, read_pairs(storage)).rows, read_run(storage))
    assert {curve.bound.rejection.stage for curve in curves} == {"judge"}
    assert {curve.bound.rejection.key for curve in curves} == {"min_dino", "max_dino", "min_clip"}
    assert {curve.accepted for curve in curves} == {len(accepted(gated))} == {len(accepted(run))}


def test_a_curve_says_what_a_view_with_that_threshold_accepts(run, looser, tmp_path):
    storage = open_storage(run)
    ledger = read_whole_ledger(storage, read_pairs(storage)).rows
    for uri in (run, looser, view(run, tmp_path / "view", *TIGHTER)):
        for curve in curves_of(ledger, read_run(open_storage(uri))):
            assert curve.accepted == len(accepted(uri)), curve.bound
            heights = [height for _, height in curve.points]
            assert heights == sorted(heights, reverse=not curve.bound.rejection.above)
            without = view(
                run,
                tmp_path / f"{curve.most}-{uri[-3:]}-{curve.bound.rejection.key}",
                *(
                    f"filter.{name}={value}".replace("None", "null")
                    for name, value in read_run(open_storage(uri)).config.stages.judge
                    if name != "min_aesthetic"
                ),
                f"filter.{curve.bound.rejection.key}=null",
            )
            assert curve.most == len(accepted(without))


def test_a_heat_map_counts_every_scored_pair(run):
    storage = open_storage(run)
    heat = heat_map(read_whole_ledger(storage, read_pairs(storage)).rows, read_run(storage))
    assert sum(int(cell.title.rpartition(" ")[2]) for cell in heat.cells) == 48
    assert heat.x_thresholds == (0.5, 0.985) and heat.y_thresholds == (0.3,)


def test_without_its_index_a_run_gives_the_same_and_a_wrong_one_is_found(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    index, manifests = copy / "_index/ledger.parquet", copy / "_index/manifests.jsonl"
    manifests.write_bytes(b"\n".join(manifests.read_bytes().splitlines()[:-1]))
    found = call(verify, copy)
    assert found.exit_code == 1 and "_index/ledger.parquet: differs from the shards" in found.output
    index.unlink()
    assert call(verify, copy).exit_code == 0
    assert verdicts(view(copy, tmp_path / "view", *LOOSER)) == verdicts(view(run, tmp_path / "other", *LOOSER))


def test_damage_in_the_run_is_seen_in_the_view_and_mended_there(run, tmp_path):
    copy = write_run(tmp_path / "run", "output.keep=scored")
    cut = view(copy, tmp_path / "view", *LOOSER)
    open_storage(copy).put(data_files(open_storage(copy))[0].removeprefix(f"{copy}/"), b"damaged")
    found = call(verify, cut)
    assert found.exit_code == 1 and "7 bytes, the manifest says" in found.output
    assert f"repair {copy}, and make the view again: python jobs/refilter.py {copy} --output" in found.output
    assert "--repair" not in found.output
    refused = call(verify, cut, "--repair")
    assert refused.exit_code == 2 and f"repair {copy}" in refused.output


def test_materialized_it_is_an_ordinary_directory(run, looser, tmp_path):
    whole = view(run, tmp_path / "whole", *LOOSER, more=["--materialize"])
    assert verdicts(whole) == verdicts(looser)
    assert call(verify, whole).exit_code == 0
    opened = datasets.load_dataset(whole, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(opened["pair_id"]) == accepted(looser) and set(opened["status"]) == {"accepted"}
    rows = [row for path in data_files(open_storage(whole)) for row in pq.read_table(path).to_pylist()]
    images = {row["pair_id"]: row["target_image"] for row in rows}
    for record in Run(RunSource(format="run", path=looser)).read(Run(RunSource(format="run", path=looser)).files()[0]):
        np.testing.assert_array_equal(record.images["target"](), decode(images[record.key]["bytes"]))


def test_a_looser_cut_names_the_pairs_whose_images_were_not_kept(tmp_path):
    run = write_run(tmp_path / "run", "output.keep=accepted")
    words = [word for item in LOOSER for word in ("--set", item)]
    said = call(refilter, run, "--output", tmp_path / "view", *words)
    assert said.exit_code == 0
    lost = [name for name, (_, reason) in verdicts(str(tmp_path / "view")).items() if reason == "not_kept"]
    assert lost
    assert f"{len(lost)} pairs would be accepted too" in said.output and "output.keep=accepted" in said.output
    assert ", ".join(lost[:3]) in said.output
    assert set(accepted(str(tmp_path / "view"))) < set(accepted(run))
    assert call(verify, tmp_path / "view").exit_code == 0


def test_caps_hold_and_take_nothing_else(run, tmp_path):
    cut = view(run, tmp_path / "view", "max_per_subject=1", "max_per_category=2")
    rows = [row for row in ledger(cut).values() if row["status"] == "accepted"]
    assert set(accepted(cut)) <= set(accepted(run))
    for column, most in (("subject_id", 1), ("category", 2)):
        names = [row[column] for row in rows]
        assert max(map(names.count, names)) == most
    dropped = {reason for _, reason in verdicts(cut).values()} - {reason for _, reason in verdicts(run).values()}
    assert dropped == {"subject_full", "category_full"}


@pytest.mark.parametrize(
    ("setting", "column", "reason"),
    [("max_per_class", "class_name", "class_full"), ("max_per_category", "category", "category_full")],
)
def test_fewest_leaves_every_group_as_many_as_the_smallest_has(setting, column, reason, run, tmp_path):
    cut = ledger(view(run, tmp_path / "view", f"{setting}=fewest"))
    before, after = (
        Counter(row[column] for row in rows.values() if row["status"] == "accepted") for rows in (ledger(run), cut)
    )
    assert len({*before.values()}) > 1
    assert after == dict.fromkeys(before, min(before.values()))
    assert [row["reason"] for row in cut.values()].count(reason) == before.total() - after.total()


def test_of_subjects_that_look_alike_the_earliest_of_its_class_stays(run, tmp_path):
    same = view(run, tmp_path / "other", "min_subject_hash_distance=1")
    assert verdicts(same) == verdicts(run)  # noise is never alike
    cut = ledger(view(run, tmp_path / "view", "min_subject_hash_distance=64"))
    subjects = {}
    for name, row in ledger(run).items():
        if row["status"] == "accepted":
            first = subjects.setdefault(row["class_name"], row["subject_id"])
            expected = ("accepted", None) if row["subject_id"] == first else ("rejected", "near_duplicate")
            assert (cut[name]["status"], cut[name]["reason"]) == expected
    assert "near_duplicate" in {row["reason"] for row in cut.values()}


def test_what_cannot_be_is_one_line(run, looser, tmp_path):
    for words, line in (
        ((run, "--output", looser), "it differs in: filter.max_dino, filter.min_clip, filter.min_dino"),
        ((looser, "--output", tmp_path / "a"), "of a run of jobs/refilter.py, not of jobs/generate.py"),
        ((run, "--output", run), "not of jobs/refilter.py"),
        ((run, "--output", tmp_path / "b", "--set", "filter.min_aesthetic=5"), "filter.min_aesthetic: the run has no"),
        ((run, "--output", tmp_path / "c", "--set", "filter.min_dinos=1"), "min_dinos"),
    ):
        refused = call(refilter, *words)
        assert refused.exit_code == 2 and line in refused.output, refused.output
    refused = call(remake, looser, accepted(looser)[0])
    assert refused.exit_code == 2 and f"of a view without files of its own; take its run: {run}" in refused.output


def test_a_run_that_goes_on_is_finished_first(tmp_path):
    run = write_run(tmp_path / "run")
    (tmp_path / "run/_manifests/shard-000001.json").unlink()
    refused = call(refilter, run, "--output", tmp_path / "view")
    assert refused.exit_code == 2 and "3 of 4 shards are committed; finish the run first" in refused.output
