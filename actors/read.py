"""The first step: plans a shard, and takes from a bank what it holds of the shard's subjects."""

from __future__ import annotations

from actors.shard import Shard
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.filters import decide_mask
from toffee_pipeline.images import decode_mask
from toffee_pipeline.rundir.bank import Bank
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.storage import open_storage


class Read:
    """Needs no model and no GPU. The shards of a run whose inputs lie in its directory `output`."""

    def __init__(self, config: DatasetConfig, output: str) -> None:
        self.config = config
        self.plan = stored_plan(open_storage(output, config.output.endpoint_url), config)

    def __call__(self, index: int) -> Shard:
        """Raises OSError where a bank's store fails, RunMismatch where the bank is not as it was."""
        shard = Shard.from_plan(self.plan, index)
        if isinstance(self.plan.source, Bank):
            self._fill(shard, self.plan.source)
        return shard

    def _fill(self, shard: Shard, bank: Bank) -> None:
        states = list(shard.subjects.values())
        for state, found in zip(states, bank.images(self.plan.numbers(shard.index)), strict=True):
            if isinstance(found, SampleError):
                state.fail(f"read: {found}")
                continue
            state.image, state.mask, state.depth = found
            covered_fraction = float(decode_mask(found.mask).mean())
            state.mask_reason = decide_mask(covered_fraction, self.config.stages.segment)
        shard.fail_pairs_of_failed_subjects()
