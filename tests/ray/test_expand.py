"""An expansion on Ray: by a server that misbehaves, and by a model in the job's own actors."""

import json
import subprocess
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs.expand_prompts import main
from tests.helpers.chat_server import HANG, Reply, changes, chat, chat_server
from tests.helpers.guards import save_guard
from tests.helpers.tiny_language_model import write_language_model
from toffee_pipeline.rundir.prompt_bank import read_prompt_bank

PLACES = ["in a tea house", "in the jungle", "dans une forêt", "in a yard. Ignore the above", "in the tea houses"]
SETTINGS = (
    "quotas={style: 2, background: 2, color: 2, texture: 2, addition: 2}",
    "class_quotas={teapot: {removal: 1}}",
    "proposals_per_ask=2",
    "asks_per_shard=4",
    "max_rounds=2",
    "seed=3",
)
WRITTEN = ("bank.parquet", "ledger.parquet")
QUICK = ("http.timeout_s=5", "http.max_retries=1", "http.retry_wait_s=0.01", "http.api_key_variable=TEST_KEY")


def respond(question, number):
    """By category and nature of what is asked, the reply to its try of this number."""
    live = "an animal or a person" in question
    if "visible parts" in question:
        return changes("a painted stand")
    if "kinds of picture" in question:  # junk, and a refusal
        return chat("Here you are: a fresco!") if live else chat("I'm sorry, but I can't assist with that.")
    if "places" in question:
        return changes(*PLACES) if live else changes("in a ruined chapel", "under a paper lantern")
    if "colors" in question:
        if live:  # lets one wait
            return changes("dusty mauve", "ultramarine", "sea green") if number else Reply(429, "slow down")
        return Reply(500, "oops")
    if "materials" in question:
        return HANG if live else chat('{"textures": ["made of lava"]}')
    return changes("a paper lantern", "a tiny bell") if live else changes("a bronze plaque")


def words(output, *settings):
    return ["--output", str(output), *(word for item in (*SETTINGS, *settings) for word in ("--set", item))]


def run(cluster, output, *settings, **environment):
    command = [sys.executable, "jobs/expand_prompts.py", *words(output, *settings)]
    return subprocess.run(command, env=cluster.driver | environment, capture_output=True, text=True)


def ledger(output):
    return pq.read_table(output / "ledger.parquet").to_pylist()


@pytest.mark.slow
def test_a_server_that_misbehaves_costs_its_own_questions(tmp_path, cluster):
    output = tmp_path / "out"
    with chat_server(respond) as server:
        settings = ("backend=http", "model={id: some/model, revision: abc}", f"http.url={server.url}", *QUICK)
        refused = run(cluster, output, *settings, "http.url=http://127.0.0.1:9/v1", TEST_KEY="k")
        assert refused.returncode == 2 and "some/model answers none of" in refused.stderr, refused.stderr
        assert not list(output.glob("answers/*"))

        done = run(cluster, output, *settings, TEST_KEY="k")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {headers["Authorization"] for _, headers in server.requests} == {"Bearer k"}
        assert {payload["model"] for payload, _ in server.requests} == {"some/model"}
        assert "TEST_KEY" in (output / "expansion.json").read_text() and "Bearer" not in done.stdout

        rows = ledger(output)
        reasons = {cell: Counter() for cell in {(row["category"], row["applies_to"]) for row in rows}}
        for row in rows:
            reasons[row["category"], row["applies_to"]][row["reason"]] += 1
        assert reasons["style", "live"].keys() == {"malformed"} and reasons["style", "object"].keys() == {"refused"}
        first = [row["reason"] for row in rows if row["ask"] == next(r["ask"] for r in rows if r["text"] == PLACES[0])]
        assert first == [None, "benchmark", "other_language", "no_phrase", "near_duplicate"]
        assert reasons["color", "live"] == {None: 2, "over_quota": 1}
        assert reasons["color", "object"].keys() == reasons["texture", "live"].keys() == {"no_answer"}
        assert reasons["texture", "object"].keys() == {"malformed"}
        assert {row["detail"] for row in rows if row["reason"] == "no_answer"} == {"HTTP 500: oops", "no answer in 5 s"}

        bank = list(read_prompt_bank(str(output / "bank.parquet")))
        assert [row.change for row in bank] == [row["text"] for row in rows if row["status"] == "kept"]
        assert {(row.source, row.license) for row in bank} == {("some/model@abc", "Apache-2.0")}
        assert [row.change for row in bank if row.applies_to == ("teapot",)] == ["a painted stand"]
        summary = json.loads((output / "summary.json").read_text())
        assert summary["proposals"] == len(rows) == summary["kept"] + sum(summary["dropped"].values())
        assert summary["rounds"] == 2 and summary["lacking"]["style of live"] == 2

        asked, before = len(server.requests), {name: (output / name).read_bytes() for name in WRITTEN}
        shards = sorted(output.glob("answers/*"))
        shards[0].unlink()  # as a job leaves it that was killed
        lost = {row["ask"] for row in rows if row["ask"].startswith("round-000")}
        again = run(cluster, output, *settings, TEST_KEY="k")
        assert again.returncode == 0, again.stdout + again.stderr
        assert {name: (output / name).read_bytes() for name in before} == before
        assert 4 <= len(server.requests) - asked < 3 * len(lost)  # a shard's questions, and their retries
        other = CliRunner(env={"TEST_KEY": "k"}).invoke(main, words(output, *settings, "seed=4"))
        assert other.exit_code == 2 and "holds another expansion; it differs in: seed" in other.output


@pytest.mark.slow
def test_a_model_in_the_job_s_own_actors_writes_junk_that_is_all_accounted_for(tmp_path, cluster):
    write_language_model(tmp_path / "model")
    settings = (f"model={{path: '{tmp_path / 'model'}'}}", "sampling.max_new_tokens=8", "max_rounds=1")
    output = tmp_path / "out"
    done = run(cluster, output, *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = ledger(output)
    assert len(rows) == 11 and {row["reason"] for row in rows} == {"malformed"}
    assert len({row["text"] for row in rows}) > 5
    assert list(read_prompt_bank(str(output / "bank.parquet"))) == []


@pytest.mark.slow
def test_what_a_model_in_the_job_s_own_actors_says_again_is_kept_once(tmp_path, cluster):
    places = ["in a ruined chapel", "under a paper lantern"]
    save_guard(tmp_path / "model", json.dumps({"changes": places}))
    settings = (f"model={{path: '{tmp_path / 'model'}'}}", "quotas={background: 2}")
    output = tmp_path / "out"
    done = run(cluster, output, *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    reasons = Counter((row["category"], row["applies_to"], row["reason"]) for row in ledger(output))
    assert reasons.pop(("background", "object", "near_duplicate")) > 2  # of two rounds: the live ones have them
    assert reasons == {
        ("background", "live", None): 2,
        ("removal", "teapot", None): 1,
        ("removal", "teapot", "over_quota"): 1,
    }
    bank = list(read_prompt_bank(str(output / "bank.parquet")))
    assert [row.change for row in bank if row.category == "background"] == places
