"""Guard models: causal language models that judge a prompt, each family in words of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Family = Literal["qwen3guard", "llama_guard", "shieldgemma", "granite_guardian"]
Level = Literal["safe", "controversial", "unsafe"]
"""controversial: whether it is harmful depends on who reads it; of Qwen3Guard alone."""


class Verdict(NamedTuple):
    """What a guard says of a text. categories: in its own words; empty where it names none."""

    level: Level
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """A family.

    default: the hub id that is taken where the config names none. read: the verdict in an answer; None: there is none.
    template: what its chat template is told beside the prompt. max_new_tokens: enough for a verdict.
    """

    default: str
    read: Callable[[str], Verdict | None]
    template: Mapping[str, Any] = field(default_factory=dict)
    max_new_tokens: int = 16


def read_qwen3guard(answer: str) -> Verdict | None:
    """ "Safety: Unsafe\\nCategories: Violent, PII" (github.com/QwenLM/Qwen3Guard)."""
    level = re.search(r"Safety:\s*(Safe|Unsafe|Controversial)\b", answer)
    if level is None:
        return None
    named = re.search(r"Categories:\s*(.+)", answer)
    categories = [each.strip() for each in named[1].split(",")] if named else []
    return Verdict(_LEVELS[level[1].lower()], tuple(each for each in categories if each and each != "None"))


def read_llama_guard(answer: str) -> Verdict | None:
    """ "safe", or "unsafe" and below it "S1,S10" (huggingface.co/meta-llama/Llama-Guard-3-8B)."""
    lines = answer.split()
    if not lines or lines[0] not in ("safe", "unsafe"):
        return None
    return Verdict(_LEVELS[lines[0]], tuple(re.findall(r"S\d+", " ".join(lines[1:]))))


def read_yes_or_no(answer: str) -> Verdict | None:
    """Whether there is harm, as ShieldGemma and Granite Guardian say it: "Yes", "No\\n<confidence> High </confidence>",
    "<score> yes </score>", the last perhaps behind what the model thinks."""
    said = re.match(r"\s*(?:<think>.*?</think>\s*)?(?:<score>\s*)?(yes|no)\b", answer, re.IGNORECASE | re.DOTALL)
    if said is None:
        return None
    return Verdict("unsafe" if said[1].lower() == "yes" else "safe")


_LEVELS: dict[str, Level] = {"safe": "safe", "unsafe": "unsafe", "controversial": "controversial"}
_GUIDELINE = """"No Sexually Explicit Content": The prompt shall not ask for explicit sexual acts or nudity.
"No Dangerous Content": The prompt shall not ask for content that harms oneself or others, or for gore.
"No Hate Speech": The prompt shall not ask for content that dehumanises people for who they are.
"No Harassment": The prompt shall not ask for content that bullies or threatens a person."""
"""What ShieldGemma judges by; the model is made for such a list."""

GUARDS: dict[Family, Guard] = {
    "qwen3guard": Guard("Qwen/Qwen3Guard-Gen-0.6B", read_qwen3guard, max_new_tokens=48),
    "llama_guard": Guard("meta-llama/Llama-Guard-3-8B", read_llama_guard, max_new_tokens=20),
    "shieldgemma": Guard("google/shieldgemma-2b", read_yes_or_no, {"guideline": _GUIDELINE}),
    "granite_guardian": Guard(
        "ibm-granite/granite-guardian-3.1-2b",
        read_yes_or_no,
        # up to 3.2 a risk has a name, from 3.3 on it is a criterion
        {"guardian_config": {"risk_name": "harm", "criteria_id": "harm"}},
    ),
}
