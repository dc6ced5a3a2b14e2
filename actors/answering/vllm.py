"""The model in vLLM's engine on GPUs, by Ray Data's own processor."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.expansion.answer import json_schema

FAILED = "__inference_error__"
"""Ray's column of what went wrong with a row, which then goes past `postprocess`."""


def check(config: ExpansionConfig) -> None:
    """Raises ConfigError where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError("backend=vllm: the package is missing: pip install -e '.[llm]'")


def needs(config: ExpansionConfig) -> dict[str, float]:
    """The engines' GPUs, and a CPU for what lies around them."""
    return {"CPU": 1, "GPU": config.vllm.num_engines * config.vllm.tensor_parallel_size}


def answers(config: ExpansionConfig, questions: Any) -> Any:
    """As `actors.answering.backends` says."""
    from ray.data.llm import build_processor

    processor = build_processor(
        processor_config(config), preprocess=preprocess_of(config), postprocess=postprocess_of(config)
    )
    return processor(questions).map(with_error)


def processor_config(config: ExpansionConfig) -> Any:
    """Of Ray's processor."""
    from ray.data.llm import vLLMEngineProcessorConfig

    spec, engine = config.model, config.vllm
    revision = {"revision": spec.revision, "tokenizer_revision": spec.revision} if spec.id and not spec.path else {}
    return vLLMEngineProcessorConfig(
        model_source=str(spec.path or spec.id),
        engine_kwargs={
            "tensor_parallel_size": engine.tensor_parallel_size,
            "max_model_len": engine.max_model_len,
            "dtype": spec.dtype,
            **revision,
        },
        concurrency=engine.num_engines,
        batch_size=engine.batch_size,
        should_continue_on_error=True,
    )


def preprocess_of(config: ExpansionConfig) -> Any:
    """A question as the engine takes it: held to the schema, with a seed of its own."""
    sampling, schema = config.sampling.model_dump(), json_schema(config.proposals_per_ask)

    def preprocess(row: dict[str, Any]) -> dict[str, Any]:
        params = sampling | {"seed": row["seed"], "structured_outputs": {"json": json.dumps(schema)}}
        params["max_tokens"] = params.pop("max_new_tokens")
        return {"messages": json.loads(row["messages"]), "sampling_params": params}

    return preprocess


def postprocess_of(config: ExpansionConfig) -> Any:
    revision = config.model.revision or ""

    def postprocess(row: dict[str, Any]) -> dict[str, Any]:
        return {
            "ask": row["ask"],
            "shard": row["shard"],
            "text": row["generated_text"],
            "error": "",
            "revision": revision,
        }

    return postprocess


def with_error(row: dict[str, Any]) -> dict[str, Any]:
    """The answer, or what the engine said of a question that it could not answer."""
    error = row.get(FAILED) or row.get("error") or ""
    return {
        "ask": row["ask"],
        "shard": row["shard"],
        "text": "" if error else row["text"],
        "error": error,
        "revision": row.get("revision") or "",
    }
