"""What is unsafe costs nothing, is never written, and the run says what it was."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from actors.chain import BANK_STAGE_CLASSES, STAGE_CLASSES, StageChain, stages_of
from actors.guard import NoGuard
from actors.shard import Shard
from jobs import status, verify
from jobs.generate import main
from tests.helpers.guards import save_classifier, save_guard
from tests.helpers.small_run import rows_of, run
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.plan.plan import Plan, make_plan

pytestmark = pytest.mark.slow

UNSAFE = "Safety: Unsafe\nCategories: Violent\n"


def chain(config, names, table=STAGE_CLASSES):
    return StageChain(config, [table[name] for name in names], lambda *_: None, NoGuard())


def test_the_text_filter_is_on_and_the_models_are_off(nano, tmp_path):
    assert next(iter(stages_of(nano()))) == "screen"
    assert not {"check_prompts", "check_images"} & {*stages_of(nano())}
    assert "screen" not in stages_of(nano("stages.screen.enabled=false"))
    assert "check_prompts" in stages_of(nano("models.prompt_guard.family=shieldgemma"))
    bank = load_config("nano", (f"models.image_safety.path={tmp_path}",), SubjectBankConfig)
    assert "check_images" in stages_of(bank) and "check_prompts" not in stages_of(bank)


def test_a_list_of_ones_own_may_be_a_file_and_then_stands_in_the_config(nano, tmp_path):
    path = tmp_path / "deny.txt"
    path.write_text("# ours\nteapot\n\nmickey mouse\n")
    assert nano(f"stages.screen.deny={path}").stages.screen.deny == ("teapot", "mickey mouse")
    assert nano("stages.screen.deny=[teapot]").stages.screen.deny == ("teapot",)
    with pytest.raises(ConfigError, match=r"stages\.screen\.allow: none\.txt: .*; allowed are a list of phrases"):
        nano("stages.screen.allow=none.txt")


def test_a_word_of_a_subject_takes_all_its_pairs_and_one_of_a_pair_takes_it_alone(nano):
    styles = ("pairs.edit_fraction=0", "pairs.generation_categories={style: 1}")
    shard = Shard.from_plan(Plan(nano(*styles)), 0)
    change = shard.pairs[0].pair.change
    config = nano(*styles, f"stages.screen.deny=['{change}']")
    chain(config, ["screen"])(shard)
    for state in shard.pairs:
        assert (state.reason == "unsafe") == (state.pair.change == change)
    subject = next(iter(shard.subjects.values()))
    again = Shard.from_plan(Plan(config), 0)
    chain(nano(f"stages.screen.deny=['{subject.subject.class_name}']"), ["screen"])(again)
    refused = {state.pair.subject_id for state in again.pairs if state.reason == "unsafe"}
    assert refused == {s.id for s in again.subjects.values() if s.subject.class_name == subject.subject.class_name}
    assert again.subjects[subject.id].error == (f"screen: denied: {subject.subject.class_name!r}, in the class")


def test_unsafe_pairs_cost_nothing_and_the_run_says_what_they_were(plain, tmp_path):
    undenied = {row["pair_id"]: row for row in rows_of(plain)}
    denied = undenied["p000000000"]["class_name"]
    output = tmp_path / "run"
    said = run(main, output, f"stages.screen.deny=['{denied}']")
    rows = {row["pair_id"]: row for row in rows_of(output)}
    unsafe = {id for id, row in rows.items() if row["reason"] == "unsafe"}
    assert unsafe == {id for id, row in undenied.items() if row["class_name"] == denied} < set(rows)
    for id, row in rows.items():
        if id in unsafe:
            assert row["error"] == f"screen: denied: {denied!r}, in the class"
            assert sum(row["stage_s"].values()) == 0
        else:
            assert (row["status"], row["dino_score"]) == (undenied[id]["status"], undenied[id]["dino_score"])
    assert f"{len(unsafe)} rejected as unsafe by screen: denied" in said
    assert json.loads((output / "summary.json").read_text())["unsafe"] == {"screen: denied": len(unsafe)}
    assert "Rejected as unsafe" in (output / "report/index.html").read_text()
    assert "Rejected as unsafe" not in (plain / "report/index.html").read_text()
    shown = CliRunner().invoke(status.main, [str(output)], catch_exceptions=False).output
    assert f"{len(unsafe)} rejected as unsafe by screen: denied" in shown
    verified = CliRunner().invoke(verify.main, [str(output)], catch_exceptions=False)
    assert verified.exit_code == 0, verified.output


def test_a_dry_run_names_what_will_be_refused(tmp_path):
    words = ["--output", str(tmp_path / "run"), "--dry-run", "--set", "pairs.count=8"]
    said = CliRunner().invoke(main, [*words, "--set", "stages.screen.deny=[photo]"]).output
    assert "unsafe by the text filter:" in said and "denied: 'photo', in 'a photo of" in said


def test_what_a_guard_calls_unsafe_is_not_drawn(tmp_path):
    guard = save_guard(tmp_path / "guard", UNSAFE)
    run(main, tmp_path / "run", f"models.prompt_guard.path={guard}")
    rows = rows_of(tmp_path / "run")
    assert Counter((row["reason"], row["error"]) for row in rows) == {("unsafe", "check_prompts: Violent"): 8}
    assert all(row["stage_s"]["check_prompts"] > 0 == row["stage_s"]["draft"] for row in rows)


@pytest.mark.parametrize(("refuse", "reason"), [("unsafe", None), ("controversial", "unsafe")])
def test_what_is_controversial_is_refused_where_the_config_says_so(nano, tmp_path, refuse, reason):
    guard = save_guard(tmp_path, "Safety: Controversial\nCategories: None\n")
    config = nano(f"models.prompt_guard.path={guard}", f"stages.check_prompts.refuse={refuse}")
    shard = chain(config, ["check_prompts"])(Shard.from_plan(Plan(config), 0))
    assert {state.reason for state in shard.pairs} == {reason}


@pytest.mark.parametrize("answer", [None, "I cannot say"])
def test_a_guard_that_gives_no_verdict_fails_the_pair_and_lets_nothing_through(nano, tmp_path, answer):
    config = nano(f"models.prompt_guard.path={save_guard(tmp_path, answer)}")
    shard = chain(config, ["check_prompts"])(Shard.from_plan(Plan(config), 0))
    assert {state.status for state in shard.pairs} == {"failed"}
    assert "check_prompts: the guard's answer is no verdict" in shard.pairs[0].error


def test_no_unsafe_image_is_written_whatever_a_run_keeps(tmp_path):
    model = f"models.image_safety.path={save_classifier(tmp_path / 'model')}"
    few = ("pairs.count=4", "subjects_per_shard=1")
    keep = (*few, "output.keep=all", "stages.check_draft.min_clip=0.75")  # most pairs end at the gate, before the look
    run(main, tmp_path / "safe", *keep, model, "stages.check_images.max_unsafe=1")
    assert rows_of(tmp_path / "safe", "_rejected")
    run(main, tmp_path / "unsafe", *keep, model, "stages.check_images.max_unsafe=0")
    rows = rows_of(tmp_path / "unsafe")
    assert {row["reason"] for row in rows if row["error"] and "check_images" in row["error"]} == {"unsafe"}
    assert rows_of(tmp_path / "unsafe", "_rejected") == rows_of(tmp_path / "unsafe", "data") == []
    done = CliRunner().invoke(verify.main, [str(tmp_path / "unsafe")], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_banks_subjects_are_looked_at_too(tmp_path):
    model = save_classifier(tmp_path / "model")
    sets = ("placement=inline", "count=4", f"models.image_safety.path={model}", "stages.check_images.max_unsafe=0")
    config = load_config("nano", sets, SubjectBankConfig)
    shard = chain(config, ["screen", "synthesize", "check_images"], BANK_STAGE_CLASSES)(
        Shard.from_plan(make_plan(config), 0)
    )
    assert {state.reason for state in shard.subjects.values()} == {"unsafe"}
