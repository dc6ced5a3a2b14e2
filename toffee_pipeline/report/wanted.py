"""Which rows a reader asks for, as the query of a URL says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from toffee_pipeline.errors import RequestError
from toffee_pipeline.report.shard_rows import Row
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.schema.table import Table

COLUMNS = {"status": "status", "reason": "reason", "kind": "kind", "category": "category", "class": "class_name"}
"""Key of the query -> column, where a table has it."""


@dataclass(frozen=True)
class Wanted:
    """values: by key of `COLUMNS`, what a row must have there. score: of the table, by name, which must lie from `low`
    to `high`; None: any."""

    values: Mapping[str, str]
    score: str = ""
    low: float | None = None
    high: float | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], table: Table) -> Self:
        """An empty value asks for nothing. Raises RequestError for a bound that is no number or of an unknown score."""
        values = {key: query[key] for key, column in COLUMNS.items() if query.get(key) and column in table.ledger.names}
        low, high = _number(query, "low"), _number(query, "high")
        if low is None and high is None:
            return cls(values)
        allowed = [score.name for score in table.scores]
        if (score := query.get("score", "")) not in allowed:
            raise RequestError(f"score {score!r}: allowed are {', '.join(allowed)}")
        return cls(values, score, low, high)

    @property
    def query(self) -> str:
        """The query that asks for it."""
        bounds = {"score": self.score, "low": self.low, "high": self.high}
        return urlencode({**self.values, **{key: value for key, value in bounds.items() if value not in (None, "")}})

    def fits(self, row: Row) -> bool:
        if any(row[COLUMNS[key]] != value for key, value in self.values.items()):
            return False
        if not self.score:
            return True
        value = row[f"{self.score}_score"]
        return (
            value is not None and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        )

    def may_fit(self, counts: ShardCounts) -> bool:
        """Whether a shard with these counts may have such a row."""
        status, reason = self.values.get("status"), self.values.get("reason")
        have = {"accepted": counts.accepted, "rejected": sum(counts.rejected.values()), "failed": counts.failed}
        if (status and not have.get(status)) or (reason and not counts.rejected.get(reason)):
            return False
        groups = {"kind": counts.by_kind, "category": counts.by_category, "class": counts.by_class}
        return all(
            groups[key].get(value, {}).get(status or "planned")
            for key, value in self.values.items()
            if groups.get(key)  # a table without such counts
        )


def _number(query: Mapping[str, str], key: str) -> float | None:
    try:
        return float(query[key]) if query.get(key) else None
    except ValueError as error:
        raise RequestError(f"{key} {query[key]!r}: allowed is a number") from error
