"""The first step: plans a shard, and brings what is there of it already."""

from __future__ import annotations

from collections.abc import Callable

from actors.pictures import PictureShard
from actors.read_pairs import ReadPairs
from actors.read_pictures import ReadPictures
from actors.shard import Shard
from toffee_pipeline.config.dataset import DatasetConfig, SubjectDatasetConfig
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.config.stages import SegmentConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.filters import decide_mask
from toffee_pipeline.images import decode_mask
from toffee_pipeline.plan.subjects import SubjectPlan, subject_number
from toffee_pipeline.rundir.bank import Bank
from toffee_pipeline.rundir.inputs import plan_of_run
from toffee_pipeline.storage import open_storage


def reader_of(config: DatasetConfig, output: str) -> Callable[[int], Shard | PictureShard]:
    """What plans and reads the shards of a run."""
    if isinstance(config, EvaluationConfig):
        return ReadPictures(config, output)
    if isinstance(config, RefinementConfig):
        return ReadPairs(config, output)
    assert isinstance(config, SubjectDatasetConfig)  # there is no other job with shards
    return Read(config, output)


class Read:
    """Of pairs and subjects: takes from a bank what it holds of them. Needs no model and no GPU.

    The shards of the run that lies in `output`. Raises as `plan_of_run`.
    """

    def __init__(self, config: SubjectDatasetConfig, output: str) -> None:
        self.config = config
        self.plan = plan_of_run(open_storage(output, config.output.endpoint_url), config)

    def __call__(self, index: int) -> Shard:
        """Raises OSError where a bank's store fails, RunMismatch where the bank is not as it was."""
        shard = Shard.from_plan(self.plan, index)
        fill_from_source(shard, self.plan)
        refuse_other_languages(shard, self.plan)
        return shard


def refuse_other_languages(shard: Shard, plan: SubjectPlan) -> None:
    """Rejects what the plan refuses since it is not told in English."""
    for subject in shard.open_subjects():
        if plan.refuses_subject(subject.subject):
            subject.fail(f"not in English: {subject.subject.prompt!r}", "other_language")
    shard.spread_failures()
    for pair in shard.open_pairs():
        if plan.refuses_pair(pair.pair):
            pair.fail(f"not in English: {pair.pair.prompt!r}", "other_language")


def fill_from_source(shard: Shard, plan: SubjectPlan) -> None:
    """What the plan's bank holds of a shard; other sources hold nothing. Raises as `Read`."""
    if isinstance(plan.source, Bank):
        fill(shard, plan.source, plan.config.stages.segment)


def fill(shard: Shard, bank: Bank, settings: SegmentConfig) -> None:
    """What a bank holds of the subjects of a shard. settings: which masks can carry an edit. Raises as `Read`."""
    states = list(shard.subjects.values())
    for state, found in zip(states, bank.images(subject_number(state.id) for state in states), strict=True):
        if isinstance(found, SampleError):
            state.fail(f"read: {found}")
            continue
        state.image, state.mask, state.depth = found
        state.mask_reason = decide_mask(float(decode_mask(found.mask).mean()), settings)
    shard.spread_failures()
