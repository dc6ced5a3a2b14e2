"""The benchmarks' parts that need neither Ray nor time: what they measure must stay what they say."""

import json

import pytest

from actors.chain import StageChain
from actors.guard import NoGuard
from actors.shard import Shard
from actors.write import count
from benchmarks import chaos, evidence, overhead, plan_scale
from benchmarks.chaos_log import Try, read_tries, work
from benchmarks.stub_stage import STUB_STAGES
from toffee_pipeline.plan.plan import Plan


def test_the_plans_figures_are_there_for_a_plan_of_less_than_a_shard(tmp_path):
    row = {"category": "style", "change": "a fresco", "source": "hand-written", "license": "CC0-1.0"}
    (tmp_path / "bank.jsonl").write_text(json.dumps(row))
    (tmp_path / "with_bank.yaml").write_text(f"pairs: {{prompt_bank: {tmp_path / 'bank.jsonl'}}}")
    figures = plan_scale.measure(("nano", str(tmp_path / "with_bank.yaml")), 8)
    assert all(value >= 0 for value in figures.values())
    assert 0 < figures["allocated peak MiB"] < 10


def test_the_stub_stage_decides_every_pair_and_leaves_no_image_out(nano):
    config = nano("pairs.count=9", "subjects_per_shard=3")
    chain = StageChain(config, list(STUB_STAGES.values()), lambda *_: None, NoGuard())
    shard = chain(Shard.from_plan(Plan(config), 0))
    counts = count(shard, config, num_bytes=0)
    assert (counts.accepted, counts.rejected, counts.failed) == (6, {"low_dino": 3}, 0)
    assert all(state.input and state.target and state.draft for state in shard.pairs)


def test_the_steady_time_starts_when_every_actor_is_warm():
    commits = [(10.0, 1), (11.0, 0), (12.0, 3), (13.0, 2), (14.5, 4), (16.0, 5)]
    assert overhead.steady(commits, 1) == (5.0, [3, 2, 4, 5])
    assert overhead.steady(commits, 2) == (pytest.approx(3.0), [4, 5])


@pytest.mark.slow
def test_the_evidence_shows_refined_nearer_to_the_subject_than_the_draft_and_that_the_mix_did_it(tmp_path):
    sets = ("subjects.source=renderer", "stages.refine.sampling.num_inference_steps=6")
    sets += ("stages.draft.sampling.num_inference_steps=4",)
    found, examples = evidence.collect(2, 3, sets, {"a": (0.0,)}, strengths=(1.0,), scales=(0.3,))
    means = found.groups["all"].means
    for metric in ("dino", "clip_i", "seg_clip_i"):
        assert means["refined"][metric].value > means["draft"][metric].value, metric
    assert means["oracle"]["error"].value == 0 < means["refined"]["error"].value < means["draft"]["error"].value
    without_mix, with_mix = (found.sweeps["a"][a]["all"] for a in (0.0, found.refine.a))
    assert with_mix == found.groups["all"]
    assert without_mix.gap_share["error"].value < 0.2 < with_mix.gap_share["error"].value

    kinds = [group for group in found.yields if group.category is None]
    assert sum(group.planned for group in kinds) == 2 * 3
    assert sum(group.planned * group.accepted.value for group in kinds) == pytest.approx(
        6 * found.overlap["both"].value
    )

    assert sum(group.num_pairs for group in found.edits) > 2 * 3 / 2
    assert {(group.strength, group.scale) for group in found.edits} == {(1.0, 0.3)}
    assert all(0 < group.means["error"].value < 128 for group in found.edits)

    evidence.write(found, examples, tmp_path)
    page = (tmp_path / "evidence.html").read_text()
    assert page.count("<svg") == 5 + 5 + 2
    assert "://" not in page
    assert json.loads((tmp_path / "evidence.json").read_text())["sweeps"]["a"].keys() == {"0.0", "1.0"}
    assert "| draft |" in (tmp_path / "evidence.md").read_text()


def test_a_try_is_lost_to_a_kill_only_if_it_was_under_way_or_uncommitted_then():
    tries = [
        Try(0, began=0, ended=5, rows=4, seconds=4),  # committed before the kill
        Try(1, began=6, ended=None, rows=2, seconds=2),  # cut off by it
        Try(1, began=20, ended=25, rows=4, seconds=4),
        Try(2, began=21, ended=22, rows=4, seconds=4),  # computed twice though no kill came between
        Try(2, began=23, ended=24, rows=4, seconds=4),
    ]
    done = work(tries, {0: 6.0, 1: 26.0, 2: 27.0}, [10.0])
    assert (done.total.tries, done.total.rows, done.total.seconds) == (5, 18, 18)
    assert (done.lost.tries, done.lost.rows, done.most_lost) == (1, 2, 1)


def test_the_log_of_a_killed_actor_is_read_up_to_where_it_was_cut(tmp_path):
    batch = '"rows": 2, "seconds": 0.5, "cpu_seconds": 0.4'
    (tmp_path / "1-1.jsonl").write_text(
        f'{{"time": 1, "shard": 3}}\n{{"time": 2, {batch}}}\n{{"time": 3, "done": true}}\n'
        f'{{"time": 4, "shard": 5}}\n{{"time": 5, {batch}}}\n{{"time": 6, "ro'
    )
    assert read_tries(tmp_path) == [Try(3, 1, 3, 2, 0.5, 0.4), Try(5, 4, None, 2, 0.5, 0.4)]


def test_a_process_of_the_job_is_known_by_its_command_line():
    assert chaos.kind_of("ray::MapWorker(Map(AllStages)).submit()") == "actor"
    assert chaos.kind_of("ray::IDLE") == "worker"
    assert chaos.kind_of("ray::DashboardAgent") == "helper"
    assert chaos.kind_of("/x/ray/core/src/ray/raylet/raylet --store_socket_name=y") == "raylet"
    assert chaos.kind_of("/x/ray/core/src/ray/gcs/gcs_server --log_dir=y") == "gcs"
