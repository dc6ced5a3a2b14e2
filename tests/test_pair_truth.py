"""Pair truth on a small run whose targets are true or not, as is known; the witness has learned nothing: what is like
the truth to the bit, anyone would tell."""

import json
from dataclasses import replace
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from actors.shard import Shard
from actors.write import Write
from benchmarks.pair_truth import table, to_json, write_sheet
from benchmarks.pair_truth_runs import judge_pair, judge_run
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.evaluation.truth import figures
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.nano.renderer import changed, drafted, scene
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.recipe.line_up import Witness
from toffee_pipeline.recipe.line_up_data import NUM_OTHER_CHANGES, NUM_OTHER_TOYS, draw_line_up
from toffee_pipeline.rundir.layout import LEDGER
from toffee_pipeline.rundir.manifests import ViewOf, data_files, read_manifests
from toffee_pipeline.schema.pairs import Pair, planned_row
from toffee_pipeline.schema.subjects import Subject
from toffee_pipeline.storage import open_storage


@pytest.fixture
def witness():
    torch.manual_seed(0)
    return Witness().eval()


@pytest.fixture
def run(nano, tmp_path):
    """A run of 4 pairs of 2 subjects. Targets: of the first the truth, of the second another toy's; the last pair was
    rejected before it had one."""
    config = nano(
        "pairs.count=4", "pairs.per_subject=2", "pairs.edit_fraction=0.5", "pairs.edit_categories={texture: 1}"
    )
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


def test_true_targets_have_no_error_and_their_subject_and_those_of_another_toy_have(run, witness):
    judged, examples = judge_run(witness, run, 3)
    assert [pair.run for pair in judged] == [3] * 4
    *true, wrong, without = judged
    for pair in true:
        assert pair.accepted and pair.verdict.error == 0 and pair.verdict.true
    assert wrong.verdict.error > 10 and not wrong.accepted
    assert without.verdict is None and len(examples) == 3

    every = figures(judged)[0]
    assert (every.num_planned, every.num_with_pictures, every.num_accepted) == (4, 3, 2)
    assert every.accepted.value == 0.5 and every.true.value == 1


def test_of_a_view_the_verdicts_are_its_own(run, witness, tmp_path_factory):
    (committed,) = read_manifests(open_storage(run))
    names = [
        row["pair_id"] for file in data_files(open_storage(run), LEDGER) for row in pq.read_table(file).to_pylist()
    ]
    verdicts = {names[0]: "low_clip", names[2]: None}
    view, manifest = (
        tmp_path_factory.mktemp("view"),
        committed.model_copy(update={"view": ViewOf(run=run, verdicts=verdicts)}),
    )
    (file,) = Path(run, "_manifests").iterdir()
    (view / "_manifests").mkdir()
    (view / "_manifests" / file.name).write_text(manifest.model_dump_json())
    before, after = (judge_run(witness, str(uri), 0)[0] for uri in (run, view))
    assert [pair.accepted for pair in before] == [True, True, False, False]
    assert [pair.accepted for pair in after] == [False, True, True, False]
    assert [pair.verdict for pair in before] == [pair.verdict for pair in after]


def test_the_report_is_a_table_a_json_file_and_a_sheet_of_the_accepted(run, witness, tmp_path):
    judged, examples = judge_run(witness, run, 0)
    found = figures(judged)
    assert len(table(found).rows) == len(found)
    assert table(found).rows[0][:4] == ("all", "all", "4", "50.0 %")
    content = json.loads(to_json(found, {"class": 0.9}, [run]))
    assert content["truth"][0]["accepted"] == {"value": 0.5, "error": None, "seeds": [0.5]}
    write_sheet(examples, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").width > 3 * 128
    with pytest.raises(click.ClickException, match="no accepted pair"):
        write_sheet(examples[2:], tmp_path / "none.png")


def test_of_an_addition_turned_round_the_untouched_subject_is_the_truth(witness):
    subject = Subject("s", "mug", "a photo of a red mug on the grass", 7)
    addition = Pair("p", "s", "edit", "addition", "a party hat", "", "", 3)
    picture, with_hat = scene(subject).render(64), changed(addition, subject).render(64)
    turned_round = replace(addition, category="removal", reversed_from="p")
    row = planned_row(turned_round, subject) | {"status": "accepted"}
    for name, png in {
        "input_image": encode_png(with_hat.rgb),
        "target_image": encode_png(picture.rgb),
        "subject_image": encode_png(picture.rgb),
        "mask": encode_mask(with_hat.mask),
    }.items():
        row[name] = {"bytes": png}
    example = judge_pair(witness, "run", row, 0)
    assert (example.oracle == picture.rgb).all()
    assert example.judged.verdict.error == 0 and example.judged.verdict.true
    without_hat = row | {"input_image": row["target_image"]}
    assert not judge_pair(witness, "run", without_hat, 0).judged.verdict.shown


def test_a_place_without_a_run_and_subjects_that_are_not_the_renderers_are_errors(run, witness, nano, tmp_path_factory):
    empty = str(tmp_path_factory.mktemp("empty"))
    with pytest.raises(click.ClickException, match=empty):
        judge_run(witness, empty, 0)
    row = next(row for file in data_files(open_storage(run)) for row in pq.read_table(file).to_pylist())
    with pytest.raises(click.ClickException, match="subjects.source=renderer"):
        judge_pair(witness, run, row | {"subject_seed": row["subject_seed"] + 1}, 0)


def test_a_line_up_differs_from_the_truth_in_the_change_or_in_the_subject():
    for index in range(12):
        asked, (truth, *rest), place = draw_line_up(index)
        assert (asked, truth) == (draw_line_up(index)[0], draw_line_up(index)[1][0])
        assert asked.seed != truth.seed and asked == replace(truth, seed=asked.seed)
        assert {shot.view for shot in rest} == {truth.view} and {shot.seed for shot in rest} == {truth.seed}
        changes, toys = rest[:NUM_OTHER_CHANGES], rest[NUM_OTHER_CHANGES:]
        assert {shot.subject.seed for shot in changes} == {truth.subject.seed} and truth not in changes
        assert len({shot.subject.seed for shot in [truth, *toys]}) == 1 + NUM_OTHER_TOYS
        if CATEGORIES[place] in ("background", "style"):
            assert {(shot.background, shot.style) for shot in toys} == {(truth.background, truth.style)}
