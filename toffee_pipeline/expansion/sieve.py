"""What of the proposals is kept: one filter after the other, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from toffee_pipeline.expansion.answer import UnusableAnswer, read_answer
from toffee_pipeline.expansion.ask import Cell
from toffee_pipeline.expansion.near_duplicates import NearDuplicates

REASONS = {
    "no_answer": "the model gave no answer",
    "refused": "the model refused",
    "malformed": "the answer is no JSON of the form that was asked for",
    "other_language": "not English",
    "no_phrase": "not a phrase that completes the sentence",
    "too_long": "the text encoder would cut the prompt",
    "benchmark": "a prompt of DreamBench, or nearly one",
    "unsafe": "the safety filter found something",
    "near_duplicate": "nearly the same as a row that is there",
    "over_quota": "its quota was full",
}
"""Why a proposal is dropped."""
Filter = Callable[[Cell, str], str | None]
"""What is wrong with a change, in words; None where nothing is."""
MAX_TEXT = 500
"""Characters of an answer without proposals that the ledger keeps."""


class Proposal(NamedTuple):
    """What became of one proposal, or of an answer that holds none (`text` is then the answer).

    reason: one of `REASONS`; None of what is kept.
    """

    ask: str
    cell: Cell
    text: str
    reason: str | None
    detail: str | None


class Sieve:
    """Takes answers in their order and keeps what passes; the same answers give the same bank.

    Args:
        quotas: of each cell.
        known: the rows that are there, for each cell.
        max_similarity: as of `NearDuplicates`.
        filters: reason -> filter, in the order in which they are asked.
    """

    def __init__(
        self,
        quotas: Mapping[Cell, int],
        known: Mapping[Cell, Iterable[str]],
        max_similarity: float,
        filters: Mapping[str, Filter],
    ) -> None:
        self._quotas, self._filters = quotas, filters
        self._seen = {_scope(cell): NearDuplicates(max_similarity) for cell in quotas}
        for scope, seen in self._seen.items():
            rows = {row: None for cell, some in known.items() if _scope(cell) == scope for row in some}
            for row in rows:
                seen.add(row)
        self._proposed: Counter[Cell] = Counter()
        self._kept: Counter[Cell] = Counter()

    def take(self, ask: str, cell: Cell, text: str | None, error: str | None) -> list[Proposal]:
        """What becomes of an answer. text: None where the model gave none, for the reason in `error`."""
        if text is None:
            found = [Proposal(ask, cell, "", "no_answer", error)]
        else:
            try:
                proposals = read_answer(text)
            except UnusableAnswer as unusable:
                found = [Proposal(ask, cell, text[:MAX_TEXT], unusable.reason, str(unusable))]
            else:
                found = [Proposal(ask, cell, proposal, *self._judge(cell, proposal)) for proposal in proposals]
        self._proposed[cell] += len(found)
        return found

    def _judge(self, cell: Cell, change: str) -> tuple[str | None, str | None]:
        for reason, wrong_with in self._filters.items():
            if why := wrong_with(cell, change):
                return reason, why
        seen = self._seen[_scope(cell)]
        if known := seen.of(change):
            return "near_duplicate", known
        if self._kept[cell] >= self._quotas[cell]:
            return "over_quota", None
        seen.add(change)
        self._kept[cell] += 1
        return None, None

    def lacking(self) -> dict[Cell, int]:
        """The cells below their quotas, and by how much."""
        return {cell: quota - self._kept[cell] for cell, quota in self._quotas.items() if self._kept[cell] < quota}

    def yields(self) -> dict[Cell, float]:
        """The share of kept proposals, of the cells that were asked."""
        return {cell: self._kept[cell] / proposed for cell, proposed in self._proposed.items()}


def _scope(cell: Cell) -> Cell:
    """Rows that must differ: of a category, but a part that can be removed may be that of many classes."""
    return cell if cell.category == "removal" else Cell(cell.category, "")
