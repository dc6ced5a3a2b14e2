"""A server that speaks OpenAI's chat completions, by Ray Data's own processor."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from actors.answering.patient_session import PatientSession
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.expansion.answer import json_schema


def check(config: ExpansionConfig) -> None:
    """Raises ConfigError where the key is not in the environment, or cannot be sent."""
    headers_of(config)


def needs(config: ExpansionConfig) -> dict[str, float]:
    """A CPU for the requests; who answers them lies elsewhere."""
    return {"CPU": 1}


def answers(config: ExpansionConfig, questions: Any) -> Any:
    """As `actors.answering.backends` says."""
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    server = config.http
    processor = build_processor(
        HttpRequestProcessorConfig(
            url=f"{server.url}/chat/completions",
            headers=headers_of(config),
            batch_size=server.max_in_flight,
            concurrency=1,
            session_factory=functools.partial(PatientSession, server),
        ),
        preprocess=functools.partial(preprocess, config=config),
        postprocess=functools.partial(postprocess, revision=config.model.revision or ""),
    )
    return processor(questions)


def headers_of(config: ExpansionConfig) -> dict[str, str]:
    """With the key of the environment, where the config names its variable."""
    variable = config.http.api_key_variable
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"http.api_key_variable: {variable} is not set in the environment")
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"http.api_key_variable: {variable} holds a line break, a blank or another character that no key has; "
            "allowed are visible ASCII characters"
        )
    return {"Authorization": f"Bearer {key}"}


def preprocess(row: dict[str, Any], config: ExpansionConfig) -> dict[str, Any]:
    """A question as the server takes it: held to the schema, with a seed of its own."""
    schema = {"name": "changes", "strict": True, "schema": json_schema(config.proposals_per_ask)}
    payload = {
        "model": config.model.id,
        "messages": json.loads(row["messages"]),
        "temperature": config.sampling.temperature,
        "top_p": config.sampling.top_p,
        "max_tokens": config.sampling.max_new_tokens,
        "seed": row["seed"] % 2**31,  # of servers with 32 bits
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    return {"payload": payload}


def postprocess(row: dict[str, Any], revision: str) -> dict[str, Any]:
    said = row["http_response"]
    return {
        "ask": row["ask"],
        "shard": row["shard"],
        "text": said["text"],
        "error": said["error"],
        "revision": revision,
    }
