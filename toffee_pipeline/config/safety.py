"""What keeps a dataset safe: the text filter's own lists, and the guard model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationInfo, model_validator

from toffee_pipeline.config.base import Model, ModelSpec
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.safety.guards import GUARDS, Family


def _read(phrases: object, info: ValidationInfo) -> object:
    """The lines of the file that a path names; empty ones and comments (#) do not count. A run.json names none."""
    if not isinstance(phrases, str) or info.context is not None:
        return tuple(phrases) if isinstance(phrases, list) else phrases  # a run.json is read strictly
    try:
        lines = read_plain(Path(phrases).expanduser()).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{phrases}: {error}; allowed are a list of phrases and the path of a file of them") from error
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


Phrases = Annotated[tuple[str, ...], BeforeValidator(_read)]
"""In a config also the path of a text file with one a line, which is read once: every machine has the same ones."""


class TextFilterConfig(Model):
    """The words that nothing is drawn from (`toffee_pipeline/safety/words.yaml`). It needs no model."""

    enabled: bool = True
    allow: Phrases = ()
    """Phrases that are harmless here, or the path of a text file with one a line."""
    deny: Phrases = ()
    """Words, `stem*` and phrases that are refused too, even where they are allowed; or the path of a text file with one
    a line."""


class SafetensorsSpec(ModelSpec):
    """Weights of a hub id or a local folder, in safetensors: nothing is unpickled, and no code of theirs is run."""

    weights: Literal["pretrained"] = "pretrained"


class PromptGuardSpec(SafetensorsSpec):
    """A guard model's weights."""

    family: Family = "qwen3guard"
    """How it is asked, and what its answers mean. Without an id it is Qwen/Qwen3Guard-Gen-0.6B,
    meta-llama/Llama-Guard-3-8B, google/shieldgemma-2b or ibm-granite/granite-guardian-3.1-2b."""

    @model_validator(mode="before")
    @classmethod
    def _default_of_the_family(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and settings.get("id") is None and settings.get("path") is None:
            guard = GUARDS.get(settings.get("family", "qwen3guard"))
            return settings if guard is None else {**settings, "id": guard.default}
        return settings
