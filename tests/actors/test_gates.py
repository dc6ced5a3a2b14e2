"""Gates: what they stop costs nothing more, and what passes is what an ungated run accepts."""

import json

import pytest

from actors.chain import stages_of
from actors.shard import Shard
from actors.stage import Stage
from actors.stages.judge import Judge
from jobs.generate import generate, main
from tests.helpers.scored_run import SMALL, Scored
from tests.helpers.small_run import rows_of, run
from toffee_pipeline.config.load import load_config
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
    accepted, before = ({id for id, row in rows.items() if row["status"] == "accepted"} for rows in (gated, ungated))
    assert accepted < before
    drawn = {id: measured[measured[id]["reversed_from"] or id] for id in before}  # an addition's scores count for both
    passes = {id for id, row in drawn.items() if row["draft_clip_score"] >= bounds["check_draft.min_clip"]}
    low = bounds["check_refined.min_dino"]
    passes = {id for id in passes if ungated[id]["kind"] == "edit" or drawn[id]["refined_dino_score"] >= low}
    assert accepted == passes
    share = len(accepted) / len(before)
    assert 0 < share < 1, f"share kept: {share:.0%} of {len(before)} accepted pairs"
    print(f"share kept: {share:.0%} of {len(before)} accepted pairs")
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
    summary, without = (json.loads((output / "summary.json").read_text()) for output in (tmp_path / "gated", plain))
    stopped = [*reasons.values()].count("draft_gate")
    spared = [row for id, row in gated.items() if reasons[id] == "draft_gate" and row["kind"] == "generation"]
    assert without["stages"]["refine"]["rows"] - summary["stages"]["refine"]["rows"] >= len(spared)
    assert summary["savings"]["check_draft"]["stopped"] == stopped
    assert summary["savings"]["check_draft"]["seconds"] > 0


class EveryThird(Stage[Shard]):
    """A gate without a model, which stops every third pair."""

    name = "check_draft"

    def process(self, shard: Shard) -> None:
        for state in shard.open_pairs()[::3]:
            state.reject("draft_gate")


@pytest.mark.slow
def test_summary_and_report_say_which_gpu_seconds_were_saved(tmp_path):
    """Of stages that hold a GPU by their settings, and compute nothing on it."""
    gpu = ("device=auto", "fused.num_gpus=2", "stages.check_draft.min_clip=0", "pairs.edit_fraction=0")
    stages = {stage.name: stage for stage in (EveryThird, Scored, Judge)}
    generate(load_config("nano", (*SMALL, *gpu)), str(tmp_path), stages=stages)
    summary = json.loads((tmp_path / "summary.json").read_text())
    saved, computed = summary["savings"]["check_draft"], summary["stages"]["score"]
    assert (saved["stopped"], computed["rows"]) == (16, 32)
    assert saved["seconds"] == pytest.approx(computed["seconds"] / 2)
    assert saved["gpu_seconds"] == pytest.approx(computed["gpu_seconds"] / 2) == pytest.approx(2 * saved["seconds"])
    told = " ".join((tmp_path / "report/index.html").read_text().split())
    assert "check_draft stopped 16 pairs early" in told and f"({saved['gpu_seconds'] / 3600:.3g} GPU hours)" in told


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
