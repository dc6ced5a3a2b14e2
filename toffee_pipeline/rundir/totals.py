"""Sums over the counts of shards, as they stand in their manifests. Its size does not grow with their number, but with
that of the classes."""

from __future__ import annotations

from collections import Counter, defaultdict

from toffee_pipeline.rundir.counts import MAX_UNREADABLE, RunCounts, ShardCounts, StageFigures
from toffee_pipeline.rundir.frequent_errors import FrequentErrors
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.storage import Storage

MAX_ERRORS = 20


class Totals:
    """Takes in one shard's counts at a time."""

    def __init__(self) -> None:
        self.shards = 0
        self.planned = self.accepted = self.failed = 0
        self.num_bytes = 0
        self.rejected: Counter[str] = Counter()
        self.unsafe: Counter[str] = Counter()
        self.unreadable: dict[str, str] = {}
        self.stages: dict[str, StageFigures] = {}
        self._errors = FrequentErrors()
        self._by_kind: dict[str, dict[str, int]] = defaultdict(dict)
        self._by_category: dict[str, dict[str, int]] = defaultdict(dict)
        self._by_class: dict[str, dict[str, int]] = defaultdict(dict)

    def add(self, counts: ShardCounts) -> None:
        self.shards += 1
        self.planned += counts.planned
        self.accepted += counts.accepted
        self.failed += counts.failed
        self.num_bytes += counts.num_bytes
        self.rejected.update(counts.rejected)
        self._errors.add(counts.errors)
        self.unsafe.update(counts.unsafe)
        for path, why in counts.unreadable.items():
            if path in self.unreadable or len(self.unreadable) < MAX_UNREADABLE:
                self.unreadable[path] = why
        for known, groups in (
            (self._by_kind, counts.by_kind),
            (self._by_category, counts.by_category),
            (self._by_class, counts.by_class),
        ):
            for key, numbers in groups.items():
                sums = known[key]
                for name, number in numbers.items():  # a Counter takes twice as long, its `update` ten times
                    sums[name] = sums.get(name, 0) + number
        for stage, figures in counts.stages.items():
            self.stages[stage] = self.stages.get(stage, StageFigures()) + figures

    @property
    def gpu_seconds(self) -> float:
        """Seconds for which the stages computed, times the GPUs that they held."""
        return sum(figures.gpu_seconds for figures in self.stages.values())

    def counts(self) -> RunCounts:
        """The sums as they stand now, with the most frequent errors."""
        return RunCounts.model_construct(  # sums of what was checked need no bounds
            shards=self.shards,
            planned=self.planned,
            accepted=self.accepted,
            rejected=dict(self.rejected.most_common()),
            failed=self.failed,
            errors=self._errors.most(MAX_ERRORS),
            unsafe=dict(self.unsafe.most_common()),
            unreadable=dict(sorted(self.unreadable.items())),
            by_kind=dict(sorted(self._by_kind.items())),
            by_category=dict(sorted(self._by_category.items())),
            by_class=dict(sorted(self._by_class.items())),
            stages=self.stages,
            num_bytes=self.num_bytes,
        )


def total(storage: Storage) -> Totals:
    """Of all committed shards, one manifest at a time."""
    totals = Totals()
    for manifest in read_manifests(storage):
        totals.add(manifest.counts)
    return totals
