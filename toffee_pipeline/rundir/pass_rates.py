"""Which share of pairs each stage lets through, as a run's manifests tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import STAGES
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.filters import REASONS
from toffee_pipeline.rundir.counts import RunCounts
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.storage import open_storage

LAST = STAGES[-1]


@dataclass(frozen=True)
class PassRates:
    """shares: of the pairs that reach a stage, those that it does not end; a stage that is not there ends none.
    bytes_per_accepted: of the run that they come from; None without a run."""

    shares: Mapping[str, float]
    bytes_per_accepted: float | None = None

    def of(self, stage: str) -> float:
        return self.shares.get(stage, 1.0)

    @property
    def acceptance(self) -> float:
        """Accepted pairs of planned ones."""
        return math.prod(self.shares.values())


def read_pass_rates(config: RunConfig) -> PassRates:
    """Of the run that `pass_rates` names; without one every pair passes.

    Raises ConfigError where it has no accepted pair yet, and as a run's manifests are read.
    """
    if config.pass_rates is None:
        return PassRates({})
    counts = total(open_storage(config.pass_rates, config.output.endpoint_url)).counts()
    if not counts.accepted:
        raise ConfigError(f"pass_rates={config.pass_rates}: no accepted pair lies there, so nothing is known of rates")
    return PassRates(shares_of(counts), counts.num_bytes / counts.accepted)


def shares_of(counts: RunCounts) -> dict[str, float]:
    """Of each stage at which a pair ended. What failed, or was rejected for a reason that no stage has for its own,
    counts as ended at the last one: costs come out too high rather than too low."""
    ended: Counter[str] = Counter({LAST: counts.failed})
    for reason, number in counts.rejected.items():
        ended[REASONS[reason].stage or LAST] += number
    shares, left = {}, counts.planned
    for stage in STAGES:
        if ended[stage]:
            shares[stage] = 1 - ended[stage] / left
            left -= ended[stage]
    return shares
