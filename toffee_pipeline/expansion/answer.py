"""What a language model must answer, as pydantic and as JSON schema, and how an answer is read."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
"""What reasoning models write before they answer."""
REFUSAL = re.compile(
    r"\b(?:i(?:'| a)m (?:sorry|unable|not able)|i (?:can ?not|can't|won't)|as an ai|(?:my|an?) apolog)", re.IGNORECASE
)


class Answer(BaseModel):
    """An answer: the proposals, in the order of the model."""

    model_config = ConfigDict(extra="forbid")
    changes: Annotated[list[StrictStr], Field(min_length=1, max_length=100)]


class UnusableAnswer(ValueError):
    """An answer without proposals. reason: one of `sieve.REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def json_schema(num_proposals: int) -> dict[str, Any]:
    """Of an answer with so many proposals, for servers and engines that hold a model to it."""
    changes = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": num_proposals}
    return {
        "type": "object",
        "properties": {"changes": changes},
        "required": ["changes"],
        "additionalProperties": False,
    }


def read_answer(text: str) -> list[str]:
    """The proposals in a model's text: its first JSON object, whatever is written around it.

    Raises UnusableAnswer where there is none of the right form.
    """
    said = THOUGHT.sub("", text)
    try:
        start = said.index("{")
        found, _ = json.JSONDecoder().raw_decode(said, start)
        return Answer.model_validate(found).changes
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnusableAnswer("malformed", f"{place}: {first['msg']}".removeprefix(": ")) from error
    except (ValueError, RecursionError) as error:
        if REFUSAL.search(said):
            raise UnusableAnswer("refused", "the model refused") from error
        raise UnusableAnswer("malformed", "no JSON object") from error
