"""Every setting of a run of `jobs/expand_prompts.py`. `profiles/expand_prompts/*.yaml` hold the values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from toffee_pipeline.config.base import (
    NOT_CONTENT,
    Amount,
    Category,
    Count,
    Fraction,
    LeaseSeconds,
    Model,
    ModelSpec,
    Positive,
    Seconds,
    Seed,
)
from toffee_pipeline.config.dataset import CatalogName, KeptApartConfig, PromptBankName
from toffee_pipeline.config.endpoint import EndpointUrl
from toffee_pipeline.config.safety import TextFilterConfig


class TextSamplingConfig(Model):
    """How the language model writes."""

    temperature: Annotated[float, Field(gt=0, le=10)] = 0.9
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    max_new_tokens: Annotated[int, Field(gt=0, le=100_000)] = 512
    """Of one answer."""


class TransformersConfig(Model):
    """The model in a pool of actors of the job's own, by transformers: needs no server and no GPU, and is slow."""

    num_actors: Positive = 1
    num_cpus: Amount = 1.0
    """Of one actor."""
    num_gpus: Amount = 0.0
    """Of one actor; 0: it computes on the CPU."""


class HttpConfig(Model):
    """A server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, Ollama, or a hosted one."""

    url: str = "http://127.0.0.1:8000/v1"
    """What stands before /chat/completions."""
    api_key_variable: str | None = None
    """Name of the environment variable that holds the key; the key itself is written nowhere."""
    timeout_s: Annotated[float, Field(gt=0, le=1e5)] = 120.0
    """Of one request; one that takes longer counts as failed, and is tried again."""
    max_retries: Annotated[int, Field(ge=0, le=100)] = 4
    """Of a request that failed: 408, 429 and 5xx, a lost connection, a hang."""
    retry_wait_s: Seconds = 1.0
    """Seconds before the first retry; each later one waits twice as long."""
    max_in_flight: Annotated[int, Field(gt=0, le=10_000)] = 32
    """Requests at once."""

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError("allowed is http(s)://host:port/path, without a name, password or query in it")
        return url.rstrip("/")


class VllmConfig(Model):
    """vLLM's engine inside the job, on its GPUs; needs `pip install -e '.[llm]'`."""

    num_engines: Positive = 1
    tensor_parallel_size: Positive = 1
    """GPUs of one engine."""
    max_model_len: Positive = 8192
    """Tokens of a question and its answer."""
    batch_size: Positive = 64


class ExpansionOutputConfig(Model):
    """What is written."""

    endpoint_url: EndpointUrl = None
    """S3-compatible storage other than AWS, of the bank too."""
    lease_s: LeaseSeconds = 60.0
    """As in a run of pairs."""


class ExpansionConfig(Model):
    """One run of `jobs/expand_prompts.py`: a language model proposes rows, filters sift them, a bank comes out."""

    job: ClassVar[str] = "expand_prompts"
    seed: Seed = 0
    catalog: CatalogName = "toffee"
    """Whose classes and sentences the rows are for: a catalogue of the package or the path of a YAML file."""
    bank: PromptBankName | None = None
    """A bank that grows, of the package (`toffee`) or a file: its rows are examples too, and nothing of it is kept
    again."""
    quotas: dict[Literal["style", "background", "color", "texture", "addition"], Count] = {
        "style": 50,
        "background": 200,
        "color": 20,
        "texture": 30,
        "addition": 100,
    }
    """New rows of each category, for live classes and as many again for objects. What can be removed is each class's
    own: `class_quotas`."""
    class_quotas: dict[str, dict[Category, Positive]] = {}
    """New rows for single classes, as {teapot: {removal: 3, addition: 10}}."""
    backend: Literal["transformers", "http", "vllm"] = "transformers"
    model: ModelSpec
    """The language model. http: its id is sent with each question, its revision is what you know of it."""
    sampling: TextSamplingConfig = TextSamplingConfig()
    num_examples: Annotated[int, Field(ge=0, le=100)] = 8
    """Rows of the bank that a question shows."""
    proposals_per_ask: Annotated[int, Field(gt=0, le=50)] = 10
    asks_per_shard: Annotated[int, Field(gt=0, le=10_000)] = 64
    """What is lost at most where the job is killed, for each question under way."""
    max_rounds: Annotated[int, Field(gt=0, le=1000), NOT_CONTENT] = 8
    """How often at most the model is asked for what the quotas still lack."""
    license: str = "unknown"
    """Of the new rows, as SPDX writes it: what the model's licence says of its output."""
    max_words: Annotated[int, Field(gt=0, le=100)] = 14
    """Of a row."""
    max_similarity: Fraction = 0.6
    """Of two rows of a category: the share of their letter triples that they have in common. Above it the later one is
    dropped."""
    text_filter: TextFilterConfig = TextFilterConfig()
    """Of what is proposed, as in a run of pairs."""
    evaluation: KeptApartConfig = KeptApartConfig()
    other_languages: Literal["refuse", "pass"] = "refuse"
    """Whether a proposal that is not English is dropped."""
    transformers: Annotated[TransformersConfig, NOT_CONTENT] = TransformersConfig()
    http: Annotated[HttpConfig, NOT_CONTENT] = HttpConfig()
    vllm: Annotated[VllmConfig, NOT_CONTENT] = VllmConfig()
    output: Annotated[ExpansionOutputConfig, NOT_CONTENT] = ExpansionOutputConfig()
    device: Annotated[Literal["auto", "cpu", "cuda"], NOT_CONTENT] = "auto"

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not any(self.quotas.values()) and not self.class_quotas:
            raise ValueError("quotas and class_quotas are empty: there is nothing to ask for")
        return self

    @model_validator(mode="after")
    def _has_pretrained_weights(self) -> Self:
        if self.model.weights != "pretrained":
            raise ValueError("model: allowed is a language model by its hub id or path")
        if self.backend == "http" and self.model.id is None:
            raise ValueError("model: a server needs the model's id")
        return self
