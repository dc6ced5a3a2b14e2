"""The benchmarks' parts that need neither Ray nor time: what they measure must stay what they say."""

import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from actors.chain import StageChain
from actors.guard import NoGuard
from actors.shard import Shard
from actors.write import count
from benchmarks import chaos_strikes, evidence, levers, overhead, placement, plan_scale
from benchmarks.bars import BARS, BENCHMARKS
from benchmarks.chaos_log import Try, read_tries, work
from benchmarks.record import Record
from benchmarks.results import page, read_results
from benchmarks.simulation import wall_s
from benchmarks.stub_pipeline import seconds_asked, stub_config
from benchmarks.stub_stage import STUB_STAGES
from toffee_pipeline.on_ray.placement import Pool
from toffee_pipeline.plan.plan import Plan

ROOT = Path(__file__).parents[1]


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
    assert chaos_strikes.kind_of("ray::MapWorker(Map(AllStages)).submit()") == "actor"
    assert chaos_strikes.kind_of("ray::IDLE") == "worker"
    assert chaos_strikes.kind_of("ray::DashboardAgent") == "helper"
    assert chaos_strikes.kind_of("/x/ray/core/src/ray/raylet/raylet --store_socket_name=y") == "raylet"
    assert chaos_strikes.kind_of("/x/ray/core/src/ray/gcs/gcs_server --log_dir=y") == "gcs"


FOUND = {"date": "2026-01-02 03:04 UTC", "cpu": "Some CPU", "cores": 2, "torch": "2.0", "ray": "2.60"}


def rows_of_page(results):
    rows = [line.split(" | ") for line in page(results).splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == len(BARS)
    return {(bar.benchmark, bar.figure): row for bar, row in zip(BARS, rows, strict=True)}


def test_the_page_of_results_says_what_is_met_missed_and_not_measured():
    rows = rows_of_page(
        {
            "straggler": {**FOUND, "ratio": 1.0512, "conditions": "8 GPUs"},
            "scaling": {**FOUND, "ratio_8": 0.97, "ratio_32": 0.9},
            "busy": {**FOUND, "card": "NVIDIA H200", "measured_bf16_matrix_tflop_per_s": 701.4, "ratio": 0.515},
        }
    )
    assert rows["straggler", "ratio"][2:6] == ["≤ 1.05", "1.051", "**missed**", "8 GPUs"]
    assert rows["scaling", "ratio_8"][2:5] == ["≥ 0.97", "0.970", "met"]
    assert rows["scaling", "ratio_32"][3:5] == ["0.900", "**missed**"]
    assert rows["scaling_64", "ratio_64"][3:5] == ["not measured", ""]
    assert "2026-01-02 03:04 UTC, Some CPU, 2 cores, no GPU; torch 2.0" in rows["scaling", "ratio_8"][6]
    assert "NVIDIA H200 (701 TFLOP/s" in rows["busy", "ratio"][6]
    assert all(row[3] == "not measured" for row in rows_of_page({}).values())


@pytest.mark.slow
def test_every_bar_is_of_a_benchmark_that_can_be_run():
    assert {bar.benchmark for bar in BARS} == set(BENCHMARKS)
    scripts = {name: importlib.import_module(f"benchmarks.{made.module}").main for name, made in BENCHMARKS.items()}
    for name, main in scripts.items():
        context = main.make_context(name, [*BENCHMARKS[name].arguments.split(), "--json", "found.json"])
        assert context.params["path"] == Path("found.json")


def test_a_record_is_written_after_every_figure_and_says_whether_a_bar_is_met(tmp_path, capsys):
    record = Record("straggler", tmp_path / "results" / "straggler.json")
    record.add(conditions="few")
    record.add(ratio=1.04)
    assert "1.04  (bar ≤ 1.05: met)" in capsys.readouterr().out
    found = read_results(tmp_path / "results")["straggler"]
    assert (found["ratio"], found["conditions"], found["benchmark"]) == (1.04, "few", "straggler")
    assert rows_of_page({"straggler": found})["straggler", "ratio"][4] == "met"


def test_sleeping_stages_take_the_profiles_seconds_and_reject_their_share():
    config = stub_config(320)
    shards = seconds_asked(config)
    draft = config.stage("draft").seconds_per_pair
    assert len(shards) == 20
    assert sum(shard["synthesize"] for shard in shards) == pytest.approx(320 * 0.75)
    assert 0.8 * draft < sum(shard["draft"] for shard in shards) / 320 < 1.1 * draft
    assert len({shard["edit"] for shard in shards}) > 1  # rejections make shards unequal
    assert seconds_asked(config) == shards


def test_the_simulation_counts_fill_work_and_drain():
    shards = [{"a": 2.0, "b": 4.0}] * 3
    assert wall_s([Pool("AB", ("a", "b"), 1, 1, 1)], shards) == 18
    assert wall_s([Pool("A", ("a",), 1, 1, 1), Pool("B", ("b",), 1, 1, 1)], shards) == 2 + 3 * 4
    assert wall_s([Pool("A", ("a",), 1, 1, 1), Pool("B", ("b",), 3, 1, 1)], shards) == 3 * 2 + 4
    assert wall_s([Pool("AB", ("a", "b"), 2, 1, 1)], shards) == 12


def test_whole_gpu_pools_share_where_there_are_fewer_gpus_than_stages():
    pools = placement.one_gpu_each({"a": 1.0, "b": 1.0, "c": 5.0, "d": 2.0}, 3)
    assert [pool.stages for pool in pools] == [("a", "b"), ("c",), ("d",)]


def figures(**changes):
    return levers.Figures(
        **{"seconds": 100.0, "planned": 20, "accepted": 10, "scored": 16, "dino": 8, "clip": 4} | changes
    )


def test_a_lever_pays_where_a_pair_that_is_accepted_costs_less_and_no_score_falls():
    plain = [figures(), figures(seconds=110.0)]
    quicker = [figures(seconds=80.0), figures(seconds=88.0)]
    choosier = [figures(seconds=80.0, accepted=8), figures(seconds=88.0, accepted=7)]
    uglier = [figures(seconds=80.0, clip=3.9), figures(seconds=88.0, clip=3.8)]
    found = {
        name: levers.means(runs) for name, runs in (("plain", plain), ("a", quicker), ("b", choosier), ("c", uglier))
    }
    changes = {name: levers.change(found["plain"], own) for name, own in found.items()}
    assert {name: each.pays for name, each in changes.items()} == {"plain": False, "a": True, "b": False, "c": False}
    assert changes["a"].cost.value == pytest.approx(0.8) and changes["b"].cost.value > 1 > changes["b"].time.value
    assert found["b"].accepted.value == pytest.approx(15 / 40) and changes["c"].clip.value < 0
    rows = levers.markdown(found, "Two seeds.").splitlines()[4:]
    assert [row.split(" | ")[-1] for row in rows] == [" |", "yes |", "no |", "no |"]


def test_a_measurement_ends_with_who_asked_for_it():
    command = "import time; from benchmarks.fresh import in_fresh_process; in_fresh_process(time.sleep, 600)"
    with subprocess.Popen([sys.executable, "-c", command], cwd=ROOT) as asker:
        own = psutil.Process(asker.pid)
        while not (found := [child for child in own.children() if "spawn_main" in " ".join(child.cmdline())]):
            assert asker.poll() is None
            time.sleep(0.1)
        asker.kill()
    _, left = psutil.wait_procs(found, timeout=60)
    assert not left
