"""Pair truth on a small run whose targets are known to be true or not; the judges' skill does not matter for it."""

import json
from dataclasses import replace

import click
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from actors.shard import Shard
from actors.write import Write
from benchmarks.pair_truth import table, to_json, write_sheet
from benchmarks.pair_truth_runs import judge_pair, judge_run
from toffee_pipeline.evaluation.truth import figures
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.nano.renderer import changed, drafted, scene
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.recipe.probe import Probe
from toffee_pipeline.recipe.probe_data import HEADS, NUM_LIGHTS, NUM_TOYS, draw_group
from toffee_pipeline.rundir.commit import data_files
from toffee_pipeline.schema import Pair, Subject, planned_row
from toffee_pipeline.storage import open_storage


@pytest.fixture
def probe():
    torch.manual_seed(0)
    return Probe().eval()


@pytest.fixture
def run(nano, tmp_path):
    """A run of 8 pairs of 2 subjects. Targets: of the first the truth, of the second another toy's; the last pair was
    rejected before it had one."""
    config = nano("pairs.edit_fraction=0.5")
    shard = Shard.from_plan(Plan(config), 0)
    for state in shard.pairs:
        owner = shard.subject_of(state)
        pictured = scene(owner.subject).render(64)
        owner.image, owner.mask = encode_png(pictured.rgb), encode_mask(pictured.mask)
        owner.depth = encode_depth(pictured.inverse_depth)
        if state is shard.pairs[-1]:
            state.reject("no_mask")
            continue
        first = owner.id == "s00000000"
        target = changed(state.pair, owner.subject) if first else drafted(state.pair, owner.subject)
        state.input, state.target = owner.image, encode_png(target.render(64).rgb)
        state.edit_mask = owner.mask if state.pair.kind == "edit" else None
        state.status, state.reason = ("accepted", None) if first else ("rejected", "low_dino")
    Write(config, str(tmp_path))(shard)
    return str(tmp_path)


def test_true_targets_have_no_error_and_their_subject_and_those_of_another_toy_have(run, probe):
    judged, examples = judge_run(probe, run, 3)
    assert [pair.run for pair in judged] == [3] * 8
    true, wrong = judged[:4], judged[4:7]
    for pair in true:
        assert pair.accepted and pair.verdict.error == 0 and pair.verdict.kept
        assert pair.verdict.shown == pair.verdict.shown_by_oracle
    assert all(pair.verdict.error > 10 and not pair.accepted for pair in wrong)
    assert judged[7].verdict is None and len(examples) == 7

    every = figures(judged)[0]
    assert (every.num_planned, every.num_with_pictures, every.num_accepted) == (8, 7, 4)
    assert every.accepted.value == 0.5 and every.kept.value == 1


def test_the_report_is_a_table_a_json_file_and_a_sheet_of_the_accepted(run, probe, tmp_path):
    judged, examples = judge_run(probe, run, 0)
    found = figures(judged)
    assert len(table(found).rows) == len(found)
    assert table(found).rows[0][:4] == ("all", "all", "8", "50.0 %")
    content = json.loads(to_json(found, {"class": 0.9}, [run]))
    assert content["truth"][0]["accepted"] == {"value": 0.5, "error": None, "seeds": [0.5]}
    write_sheet(examples, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").width > 3 * 128
    with pytest.raises(click.ClickException, match="no accepted pair"):
        write_sheet(examples[4:], tmp_path / "none.png")


def test_of_an_addition_turned_round_the_untouched_subject_is_the_truth(probe):
    subject = Subject("s", "mug", "a photo of a red mug on the grass", 7)
    addition = Pair("p", "s", "edit", "addition", "a party hat", "", 3)
    picture, with_hat = scene(subject).render(64), changed(addition, subject).render(64)
    row = planned_row(replace(addition, category="removal"), subject) | {"reversed_from": "p", "status": "accepted"}
    for name, png in {
        "input_image": encode_png(with_hat.rgb),
        "target_image": encode_png(picture.rgb),
        "subject_image": encode_png(picture.rgb),
        "mask": encode_mask(with_hat.mask),
    }.items():
        row[name] = {"bytes": png}
    example = judge_pair(probe, "run", row, 0)
    assert (example.oracle == picture.rgb).all()
    assert example.judged.verdict.error == 0 and example.judged.verdict.kept


def test_a_place_without_a_run_and_subjects_that_are_not_the_renderers_are_errors(run, probe, nano, tmp_path_factory):
    empty = str(tmp_path_factory.mktemp("empty"))
    with pytest.raises(click.ClickException, match=empty):
        judge_run(probe, empty, 0)
    row = next(row for file in data_files(open_storage(run)) for row in pq.read_table(file).to_pylist())
    with pytest.raises(click.ClickException, match="subjects.source=renderer"):
        judge_pair(probe, run, row | {"subject_seed": row["subject_seed"] + 1}, 0)


def test_the_probes_renders_are_pure_and_say_what_they_show():
    rgb, labels = draw_group(0)
    assert rgb.shape == (NUM_TOYS, NUM_LIGHTS, 64, 64, 3) and (rgb == draw_group(0)[0]).all()
    assert labels.shape == (NUM_TOYS, NUM_LIGHTS, len(HEADS))
    of = dict(zip(HEADS, labels.reshape(-1, len(HEADS)).T, strict=True))
    for head in ("class", "background", "style", "addition"):
        assert len(set(of[head])) == 1  # a group's toys differ in who they are
    assert not (rgb[0] == rgb[1]).all() and not (rgb[:, 0] == rgb[:, 1]).all()
