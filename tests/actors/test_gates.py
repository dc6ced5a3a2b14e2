"""Gates: what they stop costs nothing more, and what passes is what an ungated run accepts."""

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from actors.chain import stages_of
from jobs.generate import main
from tests.conftest import QUICK
from toffee_pipeline.rundir.counts import RunCounts, StageFigures
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.rundir.savings import savings_of
from toffee_pipeline.storage import open_storage

SETS = ("placement=inline", "subjects.source=renderer", "pairs.count=12", "subjects_per_shard=3", "seed=5", *QUICK)
BOUNDS = ("stages.judge.min_dino=0.6", "stages.judge.min_clip=0.55", "stages.judge.min_clip_gain=null")
GATES = ("check_subject.min_clip", "check_draft.min_clip", "check_refined.min_dino")


def ledger(output, *sets):
    words = [word for item in (*SETS, *BOUNDS, *sets) for word in ("--set", item)]
    done = CliRunner().invoke(main, ["--output", str(output), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    files = data_files(open_storage(str(output)), "_ledger")
    return {row["pair_id"]: row for file in files for row in pq.read_table(file).to_pylist()}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Gates that stop nothing: they only score."""
    return ledger(tmp_path_factory.mktemp("measured") / "run", *(f"stages.{gate}=-1" for gate in GATES))


def test_a_gate_is_off_without_a_bound(nano):
    assert not {"check_subject", "check_draft", "check_refined"} & {*stages_of(nano())}
    names = [*stages_of(nano("stages.check_draft.min_clip=0.2"))]
    assert names[names.index("draft") + 1] == "check_draft" and "check_refined" not in names


@pytest.mark.slow
def test_what_gates_accept_an_ungated_run_accepts_too(measured, tmp_path):
    plain = ledger(tmp_path / "plain")
    assert {id: row["status"] for id, row in plain.items()} == {id: row["status"] for id, row in measured.items()}
    drafts = sorted(row["draft_clip_score"] for row in measured.values() if row["draft_clip_score"] is not None)
    refined = sorted(row["refined_dino_score"] for row in measured.values() if row["refined_dino_score"] is not None)
    bounds = {"check_draft.min_clip": drafts[len(drafts) // 3], "check_refined.min_dino": refined[len(refined) // 3]}
    gated = ledger(tmp_path / "gated", *(f"stages.{gate}={bound}" for gate, bound in bounds.items()))
    accepted = {id for id, row in gated.items() if row["status"] == "accepted"}
    assert accepted and accepted < {id for id, row in plain.items() if row["status"] == "accepted"}
    reasons = {id: row["reason"] for id, row in gated.items()}
    for id, row in gated.items():
        score = measured[id]["draft_clip_score"]
        low_draft = score is not None and score < bounds["check_draft.min_clip"]
        assert (reasons[id] == "draft_gate") == low_draft
        if low_draft:
            assert row["stage_s"]["view"] == row["stage_s"]["edit"] == row["stage_s"]["score"] == 0
        if reasons[id] == "refined_gate":
            assert row["kind"] == "generation" and row["stage_s"]["view"] == 0 < row["stage_s"]["refine"]
        if row["reversed_from"] is not None and reasons[row["reversed_from"]] == "draft_gate":
            assert reasons[id] == "not_added"
    summary, before = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("gated", "plain"))
    stopped = [*reasons.values()].count("draft_gate")
    drawn = [row for id, row in gated.items() if reasons[id] == "draft_gate" and row["kind"] == "generation"]
    assert before["stages"]["refine"]["rows"] - summary["stages"]["refine"]["rows"] >= len(drawn)
    assert summary["savings"]["check_draft"]["stopped"] == stopped
    assert summary["savings"]["check_draft"]["seconds"] > 0


def test_savings_follow_from_what_passed(nano):
    config = nano("stages.check_draft.min_clip=0.2", "stages.check_refined.min_dino=0.2")
    stages = {
        "draft": StageFigures(rows=100, seconds=100, gpu_seconds=50),
        "check_draft": StageFigures(rows=100, seconds=1),
        "refine": StageFigures(rows=80, seconds=80, gpu_seconds=40),
        "view": StageFigures(rows=60, seconds=30, gpu_seconds=15),
    }
    saved = savings_of(config, RunCounts(planned=100, rejected={"draft_gate": 20, "refined_gate": 20}, stages=stages))
    assert (saved["check_draft"].stopped, saved["check_draft"].seconds) == (20, pytest.approx(20 / 80 * 110))
    assert saved["check_refined"].gpu_seconds == pytest.approx(20 / 60 * 15)
