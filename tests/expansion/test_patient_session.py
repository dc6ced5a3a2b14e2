"""Requests to a server that misbehaves in every way end alone, each with a text or with what went wrong."""

import asyncio
import json
from collections import Counter

import pytest

from actors.answering.patient_session import MAX_BODY_BYTES, PatientSession
from tests.helpers.chat_server import HANG, Reply, chat, chat_server
from toffee_pipeline.config.expand import HttpConfig

pytestmark = pytest.mark.slow

KEY = "sk-Very/secret+1="
REPLIES = {
    "answers": [chat("yes")],
    "too many": [Reply(429, "slow down"), Reply(429, "slow down"), chat("yes")],
    "broken once": [Reply(500, "oops"), chat("yes")],
    "broken": [Reply(500, "oops")] * 9,
    "forbidden": [Reply(401, "who are you?")],
    "hangs once": [HANG, chat("yes")],
    "hangs": [HANG] * 9,
    "no json": [Reply(200, "<html>")],
    "other json": [Reply(200, json.dumps({"choices": []}))],
    "empty": [chat(None)],
    "refuses": [chat(None, refusal="I cannot help with that")],
    "says the key": [Reply(401, f"Incorrect API key provided: {KEY}" + "." * 300)],
    "says the key again": [Reply(200, f'{{"error": "{KEY}"}}')],
    "has no end": [Reply(200, " " * (MAX_BODY_BYTES + 1))],
    "half a letter": [Reply(200, '{"choices": [{"message": {"content": "\\ud800"}}]}')],
}
EXPECTED = {
    "answers": ("yes", ""),
    "too many": ("yes", ""),
    "broken once": ("yes", ""),
    "broken": ("", "HTTP 500: oops"),
    "forbidden": ("", "HTTP 401: who are you?"),
    "hangs once": ("yes", ""),
    "hangs": ("", "no answer in 3 s"),
    "no json": ("", "no chat completion: <html>"),
    "other json": ("", 'no chat completion: {"choices": []}'),
    "empty": ("", "an empty answer"),
    "refuses": ("I cannot help with that", ""),
    "says the key": ("", ("HTTP 401: Incorrect API key provided: ***" + "." * 300)[:300]),
    "says the key again": ("", 'no chat completion: {"error": "***"}'),
    "has no end": ("", f"an answer of more than {MAX_BODY_BYTES} bytes"),
}
TRIES = {"too many": 3, "broken once": 2, "broken": 3, "hangs once": 2, "hangs": 3}


async def ask(url, questions):
    config = HttpConfig(url=url, timeout_s=3, max_retries=2, retry_wait_s=0.01)
    async with PatientSession(config) as session:
        payloads = [json.dumps({"messages": [{"content": each}], "seed": 0}) for each in questions]
        headers = {"Authorization": f"Bearer {KEY}"}
        posted = [session.post(f"{url}/chat/completions", headers=headers, data=data) for data in payloads]
        answers = []
        for request in posted:
            async with await request as response:
                answers.append((response.status, await response.json()))
    return answers


def test_every_request_ends_alone():
    with chat_server(lambda question, number: REPLIES[question][number]) as server:
        answers = dict(zip(REPLIES, asyncio.run(ask(server.url, REPLIES)), strict=True))
    assert {status for status, _ in answers.values()} == {200}
    found = {question: (said["text"], said["error"]) for question, (_, said) in answers.items()}
    text, error = found.pop("half a letter")
    assert found == EXPECTED
    (text + error).encode()  # which Parquet needs
    asked = Counter(payload["messages"][0]["content"] for payload, _ in server.requests)
    assert asked == Counter(dict.fromkeys(REPLIES, 1) | TRIES)
    assert all(headers["Authorization"] == f"Bearer {KEY}" for _, headers in server.requests)


def test_a_server_that_is_not_there_is_said():
    with chat_server(lambda question, number: HANG) as server:
        url = server.url
    ((_, said),) = asyncio.run(ask(url, ["anybody?"]))
    assert said["text"] == "" and said["error"].startswith("ClientConnectorError: Cannot connect to host 127.0.0.1")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host/v1", "http://me:secret@host/v1", "http://host/v1?key=1"])
def test_a_url_that_is_none_or_holds_a_secret_is_refused(url):
    with pytest.raises(ValueError, match="allowed is http"):
        HttpConfig(url=url)
