"""Sums over the counts of shards, as they stand in their manifests. Its size does not grow with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.rundir.frequent_errors import FrequentErrors

MAX_ERRORS = 20


class Totals:
    """Takes in one shard's counts (`actors.write.count`) at a time."""

    def __init__(self) -> None:
        self.shards = 0
        self.planned = self.accepted = self.failed = 0
        self.num_bytes = 0
        self.rejected: Counter[str] = Counter()
        self.stages: dict[str, dict[str, float]] = {
            stage: {"rows": 0, "seconds": 0.0, "gpu_seconds": 0.0} for stage in MODEL_STAGES
        }
        self._errors = FrequentErrors()
        self._groups: dict[str, dict[str, Counter[str]]] = {"by_kind": {}, "by_category": {}}

    def add(self, counts: Mapping[str, Any]) -> None:
        self.shards += 1
        self.planned += counts["planned"]
        self.accepted += counts["accepted"]
        self.failed += counts["failed"]
        self.num_bytes += counts.get("num_bytes", 0)  # manifests of older versions lack it, and gpu_seconds
        self.rejected.update(counts["rejected"])
        self._errors.add(counts["errors"])
        for group, known in self._groups.items():
            for key, numbers in counts[group].items():
                known.setdefault(key, Counter()).update(numbers)
        for stage, figures in counts["stages"].items():
            for name, number in figures.items():
                self.stages[stage][name] += number

    @property
    def gpu_seconds(self) -> float:
        """Seconds for which the stages computed, times the GPUs that they held."""
        return sum(figures["gpu_seconds"] for figures in self.stages.values())

    def as_dict(self) -> dict[str, Any]:
        """As in summary.json. planned: of the shards that were added."""
        return {
            "shards": self.shards,
            "planned": self.planned,
            "accepted": self.accepted,
            "rejected": dict(self.rejected.most_common()),
            "failed": self.failed,
            "errors": self._errors.most(MAX_ERRORS),
            **{
                group: {key: dict(numbers) for key, numbers in sorted(known.items())}
                for group, known in self._groups.items()
            },
            "stages": {stage: dict(figures) for stage, figures in self.stages.items()},
            "num_bytes": self.num_bytes,
        }
