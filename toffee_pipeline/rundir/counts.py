"""What became of pairs, in numbers: of one shard, of a run so far, of a run that has ended."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from toffee_pipeline.config.evaluate import EVALUATION_STAGES
from toffee_pipeline.config.stages import BANK_STAGES, MODEL_STAGES
from toffee_pipeline.filters import REASONS
from toffee_pipeline.rundir.run_file import Joules, Number, Part, RunFile, Seconds

STAGES = frozenset((*MODEL_STAGES, *BANK_STAGES, *EVALUATION_STAGES))
"""Of all jobs that write shards."""


class StageFigures(Part):
    """What a stage did.

    rows: samples. seconds: of computing. gpu_seconds: these times the GPUs that its actor held. joules: what its GPU
    used meanwhile, of a shared one the share that its actor held; None where that was not measured.
    """

    rows: Number = 0
    seconds: Seconds = 0.0
    gpu_seconds: Seconds = 0.0
    joules: Joules | None = None

    def __add__(self, other: StageFigures) -> StageFigures:
        return StageFigures.model_construct(  # sums need no bounds
            rows=self.rows + other.rows,
            seconds=self.seconds + other.seconds,
            gpu_seconds=self.gpu_seconds + other.gpu_seconds,
            joules=_sum_known(self.joules, other.joules),
        )


def _sum_known(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


class ShardCounts(Part):
    """Pairs, or subjects of a bank: planned = accepted + the sum of rejected + failed."""

    planned: Number = 0
    accepted: Number = 0
    rejected: dict[str, Number] = {}
    """By reason (`filters.REASONS`)."""
    failed: Number = 0
    errors: dict[str, Number] = {}
    """Message -> failed pairs."""
    unsafe: dict[str, Number] = {}
    """Which stage refused it, and what as -> rejected pairs."""
    unreadable: dict[str, str] = {}
    """The user's files that cannot be read, by path, and why."""
    by_kind: dict[str, dict[str, Number]] = {}
    """Kind -> "planned" and each status -> pairs."""
    by_category: dict[str, dict[str, Number]] = {}
    by_class: dict[str, dict[str, Number]] = {}
    """Class -> "planned", each status and each reason of rejection -> rows."""
    stages: dict[str, StageFigures] = {}
    num_bytes: Number = 0
    """Of the Parquet files."""

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        for what, names, known in (("stage", self.stages, STAGES), ("reason", self.rejected, REASONS)):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"unknown {what} {unknown[0]!r}")
        groups = (*self.by_kind.values(), *self.by_category.values(), *self.by_class.values())
        if not all(numbers.get("planned") for numbers in groups):
            raise ValueError("a group without planned rows")
        return self

    @property
    def gpu_seconds(self) -> float:
        return sum(figures.gpu_seconds for figures in self.stages.values())

    @property
    def kwh(self) -> float | None:
        """Of the GPUs alone; None where they were not measured."""
        joules = _sum_known(*(figures.joules for figures in self.stages.values()))
        return None if joules is None else joules / 3.6e6


MAX_UNREADABLE = 1000
"""Of a set that is broken all over, every row would be one; the ledger has them all."""


class RunCounts(ShardCounts):
    """Sums over shards; of `unreadable` the first `MAX_UNREADABLE`."""

    shards: Number = 0

    @property
    def names_all_unreadable(self) -> bool:
        return len(self.unreadable) < MAX_UNREADABLE


class Saving(Part):
    """Of a gate. stopped: pairs. seconds, gpu_seconds: of later stages, had these pairs taken what those that passed
    took."""

    stopped: Number
    seconds: Seconds
    gpu_seconds: Seconds


class Alike(Part):
    """Subjects with accepted pairs over the whole run, each held against the others of its class.

    alike: those whose perceptual hash differs in less than `bits` from that of an earlier one that is none of these.
    not_compared: of classes with very many.
    """

    bits: Number
    compared: Number
    alike: Number
    not_compared: Number


class Summary(RunFile, RunCounts):
    """summary.json of a generation, written when all else is. elapsed_s, pairs_per_s: of its last start."""

    elapsed_s: Seconds
    pairs_per_s: Seconds
    savings: dict[str, Saving] = {}
    """By gate (`filters.GATES`)."""
    alike: Alike | None = None
    """Where the config asks that subjects differ (`stages.synthesize.min_hash_distance`)."""
