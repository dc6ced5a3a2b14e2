"""The filters of an expansion, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from toffee_pipeline.config.base import Category
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.expansion.ask import Cell
from toffee_pipeline.expansion.phrase import openings_of, why_no_phrase
from toffee_pipeline.expansion.sieve import Filter
from toffee_pipeline.plan.benchmark_prompts import is_benchmark_prompt
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.safety.text_filter import TextFilter

CountTokens = Callable[[str], int]


def filters_of(
    known: Mapping[Cell, Iterable[str]], config: ExpansionConfig, count_tokens: CountTokens, room: int
) -> dict[str, Filter]:
    """Reason -> filter.

    Args:
        known: the rows that are there, for each cell.
        count_tokens: of a text, without its start and end.
        room: tokens that the longest prompt leaves for a change.
    """
    rows: dict[Category, list[str]] = {}
    for cell, some in known.items():
        rows.setdefault(cell.category, []).extend(some)
    openings = {category: openings_of(category, some) for category, some in rows.items()}

    def no_phrase(cell: Cell, change: str) -> str | None:
        return why_no_phrase(change, openings.get(cell.category), config.max_words)

    def too_long(cell: Cell, change: str) -> str | None:
        count = count_tokens(change)
        return f"{count} tokens, where the longest prompt has room for {room}" if count > room else None

    def benchmark(cell: Cell, change: str) -> str | None:
        return "DreamBench asks for it" if is_benchmark_prompt(change, cell.category) else None

    safe = TextFilter(config.text_filter.allow, config.text_filter.deny)

    def unsafe(cell: Cell, change: str) -> str | None:
        found = safe.find(change)
        return str(found) if found else None

    filters: dict[str, Filter] = {
        "other_language": lambda cell, change: None if is_english(change) else "not English",
        "no_phrase": no_phrase,
        "too_long": too_long,
        "benchmark": benchmark,
        "unsafe": unsafe,
    }
    is_on = {
        "other_language": config.other_languages == "refuse",
        "benchmark": not config.evaluation.allow_benchmark_prompts,
        "unsafe": config.text_filter.enabled,
    }
    return {reason: asked for reason, asked in filters.items() if is_on.get(reason, True)}
