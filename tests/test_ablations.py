"""The ablations: what their figures say, what -R learns from, and that nothing finished is made again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks import ablations
from benchmarks.ablations_claims import claims_table, estimate, judge, judge_all, to_json, to_markdown
from benchmarks.ablations_drafts import write_drafts
from benchmarks.ablations_plan import ASKED, CLAIMS, VARIANTS, Claim
from benchmarks.ablations_runs import layout
from jobs.generate import generate
from tests.helpers.drafted_run import STAGES
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import RunSource, ToffeeNetTraining
from toffee_pipeline.errors import DataError
from toffee_pipeline.evaluation.real_pictures import real_picture
from toffee_pipeline.evaluation.setup import prepare
from toffee_pipeline.images import decode, encode_png
from toffee_pipeline.plan.benchmarks.nano import load_nano
from toffee_pipeline.train.data.sources import make_source

CLAIM = Claim("more is more", "clip_t", ("a", "x"), ("b", "x"))
SAME = Claim("both are the same", "clip_t", ("a", "x"), ("b", "x"), same=True)
SUBJECTS = [f"s{number}" for number in range(6)]


def found(*differences):
    """Of each seed a cell that is so much above another one, by subject."""
    rng = np.random.default_rng(0)
    cells = {("a", "x"): {}, ("b", "x"): {}}
    for seed, difference in enumerate(differences):
        base = rng.random(len(SUBJECTS))  # subjects differ much more than the cells do
        cells["b", "x"][seed] = {"clip_t": dict(zip(SUBJECTS, base, strict=True))}
        cells["a", "x"][seed] = {"clip_t": dict(zip(SUBJECTS, base + difference, strict=True))}
    return cells


@pytest.mark.parametrize(
    ("differences", "verdict", "same"),
    [
        ((0.10, 0.11, 0.12), "holds", "reversed"),
        ((-0.10, -0.11, -0.12), "reversed", "reversed"),
        ((-0.10, 0.02, 0.12), "within error", "holds"),
        ((0.10,), "no error bar", "no error bar"),
    ],
)
def test_a_claim_is_judged_by_its_error_bar(differences, verdict, same):
    judged = judge(CLAIM, found(*differences))
    assert judged.difference.value == pytest.approx(np.mean(differences))
    assert judged.verdict == verdict and judge(SAME, found(*differences)).verdict == same


def test_subjects_that_do_not_agree_are_an_error_too():
    disagreeing = np.array([0.3, -0.25, 0.3, -0.25, 0.3, -0.25])
    assert judge(CLAIM, found(*[disagreeing] * 3)).verdict == "within error"


def test_an_estimate_has_the_error_of_seeds_and_of_subjects():
    of_seeds = estimate([{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, {"a": 3.0, "b": 3.0}])
    assert (of_seeds.value, of_seeds.seeds) == (2, (1, 2, 3)) and of_seeds.error == pytest.approx(1 / np.sqrt(3))
    of_subjects = estimate([{"a": 1.0, "b": 3.0}] * 3)
    assert of_subjects.value == 2 and of_subjects.error == pytest.approx(1)
    missing = estimate([{"a": 1.0, "b": 3.0}, {"a": 2.0}])  # a cut-out that one seed lacks
    assert missing.value == 1.5 and missing.error is None


def test_a_claim_of_what_was_not_run_says_so():
    judged = judge_all({})
    assert {each.verdict for each in judged} == {"not run"} and len(claims_table(judged).rows) == len(CLAIMS)
    assert json.loads(to_json({}, judged, "nothing"))["claims"][0]["difference"] is None
    assert "not run" in to_markdown({}, judged, "nothing")


def test_every_claim_is_of_what_some_variant_is_asked():
    cells = {(variant.name, asked) for variant in VARIANTS for asked in variant.asked}
    assert {cell for claim in CLAIMS for cell in (claim.more, claim.less)} <= cells
    for settings in ASKED.values():
        load_config("nano", settings, EvaluationConfig)
    for variant in VARIANTS:
        load_config("nano", variant.training, ToffeeNetTraining)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """24 pairs of noise, some of them rejected, with drafts that are not their targets."""
    output = str(tmp_path_factory.mktemp("pairs") / "run")
    settings = (
        "placement=inline",
        "pairs.count=24",
        "pairs.per_subject=6",
        "pairs.edit_fraction=0.5",
        "pairs.edit_categories={background: 1, addition: 1, removal: 1}",
        "stages.judge.min_clip_gain=null",
        "output.report_every_s=0",
    )
    generate(load_config("nano", settings), output, stages=STAGES)
    return output


def test_r_learns_from_the_drafts_of_all_pairs(run, tmp_path):
    rows = {
        row["pair_id"]: row
        for folder in ("data", "_rejected")
        for path in sorted((Path(run) / folder).glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }
    assert {row["status"] for row in rows.values()} == {"accepted", "rejected"}
    assert write_drafts(run, tmp_path / "drafts") == len(rows)
    source = make_source(RunSource(format="run", path=str(tmp_path / "drafts")))
    records = {record.key: record for file in source.files() for record in source.read(file)}
    assert records.keys() == rows.keys()
    for name, row in rows.items():
        target, image = records[name].images["target"](), records[name].images["input"]()
        draft, before = (decode(row[column]["bytes"], name) for column in ("draft_image", "input_image"))
        assert np.array_equal(image, before)
        if row["reversed_from"] is not None:
            assert np.array_equal(target, decode(row["target_image"]["bytes"], name))
        elif row["kind"] == "generation":
            assert np.array_equal(target, draft)
        else:  # the mask's border is a ramp
            assert np.array_equal(target[:31], draft[:31]) and np.array_equal(target[32:], before[32:])
    assert {row["reversed_from"] is None for row in rows.values()} == {True, False}


def test_a_run_without_drafts_is_one_line(run, tmp_path):
    with pytest.raises(DataError, match="no pair with its draft; it needs output.keep=all"):
        write_drafts(str(tmp_path), tmp_path / "drafts")


@pytest.mark.slow
def test_what_is_finished_is_not_made_again(run, tmp_path):
    work = tmp_path / "work"
    words = ["--data", run, "--work-dir", str(work), "--steps", "2", "--seeds", "1", "--subjects", "2"]
    words += ["--prompts", "1", "--set-training", "train.batch_size=2", "--set-training", "train.micro_batch_size=2"]
    words += ["--set-evaluation", "stages.draw.sampling.num_inference_steps=1"]
    words += ["--set-evaluation", "stages.draw.batch_size=1", "--set-training", "sampling.num_inference_steps=1"]

    def ablate(variants):
        done = CliRunner().invoke(ablations.main, [*words, "--variants", variants], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def files():
        return {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file() and path.parent != work}

    ablate("E")
    before = files()
    ablate("E,R")
    after = files()
    written = {path.relative_to(work).parts[0] for path, when in after.items() if before.get(path) != when}
    assert written <= {"R", "drafts", "cache"} and "R" in written
    said = ablate("E,R")
    assert files() == after and said.count("nothing to do") == 2 + 3  # trainings and evaluations
    cells = json.loads((work / "ablations.json").read_text())["cells"]
    assert [(cell["variant"], cell["asked"]) for cell in cells] == [
        ("E", "edit"),
        ("R", "new view"),
        ("R", "structure"),
    ]
    assert all(cell["means"]["clip_t"]["value"] is not None for cell in cells)
    assert "| R | new view | 1 |" in (work / "ablations.md").read_text()


@pytest.mark.slow
def test_the_layout_is_that_of_the_input_image(tmp_path):
    """Of a copy of it wholly; of a picture whose subject stands elsewhere hardly."""
    settings = ("placement=inline", "images_per_prompt=1", "benchmark.max_prompts=1", "benchmark.max_subjects=2")
    config = load_config("nano", settings, EvaluationConfig)
    copied, moved = load_nano().subjects[:2]
    for subject, shift in ((copied, 0), (moved, 24)):
        image = decode(real_picture(config.benchmark, subject, 0))
        (tmp_path / "drawn" / subject.subject_id).mkdir(parents=True)
        (tmp_path / "drawn" / subject.subject_id / "0_0.png").write_bytes(encode_png(np.roll(image, shift, 1)))
    config = prepare(config, None, tmp_path / "drawn", print)
    generate(config, str(tmp_path / "run"))
    found = layout(config, str(tmp_path / "run"), tmp_path / "layout.json")
    assert found[copied.subject_id] == 1 and found.get(moved.subject_id, 0) < 0.8  # or it is not found there
    shutil.rmtree(tmp_path / "run")
    assert layout(config, str(tmp_path / "run"), tmp_path / "layout.json") == found
