"""Gates: what they stop costs nothing more, and what passes is what an ungated run accepts."""

import json

import pytest

from actors.chain import stages_of
from jobs.generate import main
from tests.helpers.small_run import rows_of, run
from toffee_pipeline.rundir.counts import RunCounts, StageFigures
from toffee_pipeline.rundir.savings import savings_of

GATES = ("check_subject.min_clip", "check_draft.min_clip", "check_refined.min_dino")


def ledger(output):
    return {row["pair_id"]: row for row in rows_of(output)}


def test_a_gate_is_off_without_a_bound(nano):
    assert not {"check_subject", "check_draft", "check_refined"} & {*stages_of(nano())}
    names = [*stages_of(nano("stages.check_draft.min_clip=0.2"))]
    assert names[names.index("draft") + 1] == "check_draft" and "check_refined" not in names


@pytest.mark.slow
def test_what_gates_accept_an_ungated_run_accepts_too(plain, tmp_path):
    run(main, tmp_path / "measured", *(f"stages.{gate}=-1" for gate in GATES))  # gates that only score
    ungated, measured = ledger(plain), ledger(tmp_path / "measured")
    assert {id: row["status"] for id, row in ungated.items()} == {id: row["status"] for id, row in measured.items()}
    drafts = sorted(row["draft_clip_score"] for row in measured.values() if row["draft_clip_score"] is not None)
    refined = sorted(row["refined_dino_score"] for row in measured.values() if row["refined_dino_score"] is not None)
    bounds = {"check_draft.min_clip": drafts[len(drafts) // 2], "check_refined.min_dino": refined[len(refined) // 3]}
    run(main, tmp_path / "gated", *(f"stages.{gate}={bound}" for gate, bound in bounds.items()))
    gated = ledger(tmp_path / "gated")
    accepted = {id for id, row in gated.items() if row["status"] == "accepted"}
    assert accepted and accepted < {id for id, row in ungated.items() if row["status"] == "accepted"}
    reasons = {id: row["reason"] for id, row in gated.items()}
    assert {"draft_gate", "refined_gate"} <= {*reasons.values()}
    for id, row in gated.items():
        score = measured[id]["draft_clip_score"]
        low_draft = score is not None and score < bounds["check_draft.min_clip"]
        assert (reasons[id] == "draft_gate") == low_draft
        if low_draft:
            assert row["stage_s"]["view"] == row["stage_s"]["edit"] == row["stage_s"]["score"] == 0
        if reasons[id] == "refined_gate":
            assert row["kind"] == "generation" and row["stage_s"]["view"] == 0 < row["stage_s"]["refine"]
    summary, before = (json.loads((output / "summary.json").read_text()) for output in (tmp_path / "gated", plain))
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
