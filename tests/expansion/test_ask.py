"""What is asked follows from the config, from what is there and from what is lacking."""

import importlib.util
import re

import pytest
from click.testing import CliRunner

from actors.answering import vllm
from jobs.expand_prompts import main
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.expansion.ask import Cell, cells_of, plan_round
from toffee_pipeline.plan.catalog import load_catalog

QUOTAS = ("quotas={background: 25, style: 0}", "class_quotas={teapot: {removal: 4}}", "asks_per_shard=2")


def config_of(*overrides):
    return load_config("transformers", (*QUOTAS, *overrides), ExpansionConfig)


@pytest.fixture(scope="module")
def catalog():
    return load_catalog("toffee")


def planned(config, catalog, lacking, yields=None, number=0):
    examples = {cell: [f"in place {index}" for index in range(20)] for cell in lacking}
    return list(plan_round(config, catalog, examples, lacking, yields or {}, number))


def test_quotas_are_of_both_natures_and_of_single_classes():
    config = config_of()
    quotas = cells_of(config)
    assert quotas[Cell("background", "live")] == quotas[Cell("background", "object")] == 25
    assert quotas[Cell("removal", "teapot")] == 4
    assert not any(cell.category == "style" for cell in quotas)


def test_as_many_questions_are_asked_as_the_yield_makes_needed(catalog):
    config, cell = config_of(), Cell("background", "live")
    assert len(planned(config, catalog, {cell: 25})) == 3
    assert len(planned(config, catalog, {cell: 25}, {cell: 0.5})) == 5
    assert len(planned(config, catalog, {cell: 25}, {cell: 0.0})) == 25  # and no more
    assert planned(config, catalog, {}) == []


def test_a_plan_is_the_same_again_and_no_question_is_asked_twice(catalog):
    config, lacking = config_of(), {Cell("background", "live"): 30, Cell("removal", "teapot"): 4}
    asks = planned(config, catalog, lacking)
    assert asks == planned(config, catalog, lacking)
    later = planned(config, catalog, lacking, number=1)
    assert len({ask.seed for ask in (*asks, *later)}) == len({ask.name for ask in (*asks, *later)}) == 8
    assert [ask.shard for ask in asks] == [0, 0, 1, 1]
    assert planned(config_of("seed=1"), catalog, lacking)[0].seed != asks[0].seed


def test_a_question_says_how_many_for_whom_in_which_sentence_and_shows_examples(catalog):
    (ask,) = planned(config_of("num_examples=3"), catalog, {Cell("removal", "teapot"): 4})
    system, user = ask.messages
    assert system["role"] == "system" and '{"changes": ["...", "..."]}' in system["content"]
    assert "Write 10 new visible parts" in user["content"] and "for a teapot." in user["content"]
    assert "a photo of a teapot without ..." in user["content"] and user["content"].count("in place") == 3
    live = planned(config_of("num_examples=0"), catalog, {Cell("background", "live"): 4})[0].messages[1]["content"]
    assert "an animal or a person" in live and "Examples" not in live


def test_a_dry_run_shows_quotas_and_a_question_and_needs_no_model(tmp_path):
    sets = [word for item in QUOTAS for word in ("--set", item)]
    done = CliRunner().invoke(main, ["--output", str(tmp_path / "out"), "--dry-run", *sets])
    assert done.exit_code == 0, done.output
    assert "removal of teapot: 4, beside" in done.output and "user: Write 10 new" in done.output
    assert not (tmp_path / "out").exists()
    packaged = CliRunner().invoke(main, ["--output", str(tmp_path / "out"), "--dry-run", *sets, "--set", "bank=toffee"])
    before, now = (
        int(re.search(r"background of live: \d+, beside (\d+)", each.output)[1]) for each in (done, packaged)
    )
    assert now > before + 300


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["class_quotas={teapott: {removal: 4}}"], "the catalogue has no such class; did you mean teapot?"),
        (["quotas={style: 0, background: 0, color: 0, texture: 0, addition: 0}"], "there is nothing to ask for"),
        (["quotas={removal: 4}"], "quotas.removal"),
        (["model={weights: nano}"], "a language model by its hub id or path"),
        (["model={path: none/there}"], "no such file or folder"),
        pytest.param(
            ["backend=vllm"],
            "backend=vllm: the package is missing: pip install -e '.[llm]'",
            marks=pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="it is there"),
        ),
        (["backend=http", "http.api_key_variable=NO_SUCH_KEY"], "http.api_key_variable: NO_SUCH_KEY is not set"),
        (["bank=none.jsonl"], "none.jsonl"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_writes_nothing(tmp_path, settings, line):
    sets = [word for item in settings for word in ("--set", item)]
    done = CliRunner().invoke(main, ["--output", str(tmp_path / "out"), *sets])
    assert done.exit_code == 2 and line in done.output.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_vllm_gets_the_chat_the_schema_and_the_seed():
    config = load_config("vllm", ("model.revision=abc", "vllm.tensor_parallel_size=2"), ExpansionConfig)
    engine = vllm.processor_config(config)
    assert engine.model_source == config.model.id and engine.should_continue_on_error
    assert engine.engine_kwargs["revision"] == "abc" and engine.engine_kwargs["tensor_parallel_size"] == 2
    row = vllm.preprocess_of(config)(
        {"ask": "a", "shard": 0, "messages": '[{"role": "user", "content": "x"}]', "seed": 7}
    )
    assert row["messages"] == [{"role": "user", "content": "x"}]
    params = row["sampling_params"]
    assert (
        params["seed"] == 7 and params["max_tokens"] == 512 and '"maxItems": 10' in params["structured_outputs"]["json"]
    )


def test_a_question_that_vllm_could_not_answer_fails_alone():
    config = load_config("vllm", ("model.revision=abc",), ExpansionConfig)
    asked = {"ask": "a", "shard": 3, "messages": "[]", "seed": 7}
    answered = vllm.with_error(vllm.postprocess_of(config)(asked | {"generated_text": "yes"}) | {vllm.FAILED: ""})
    assert answered == {"ask": "a", "shard": 3, "text": "yes", "error": "", "revision": "abc"}
    failed = vllm.with_error(asked | {vllm.FAILED: "out of memory"})
    assert failed == {"ask": "a", "shard": 3, "text": "", "error": "out of memory", "revision": ""}
