"""Every setting of `jobs/refilter.py`, which decides anew what of a finished run is accepted."""

from __future__ import annotations

from typing import ClassVar, Literal

from toffee_pipeline.config.base import Model, Positive, Seed
from toffee_pipeline.config.refine_pairs import PairDatasetConfig
from toffee_pipeline.config.stages import HashDistance, JudgeConfig
from toffee_pipeline.errors import ConfigError


class RefilterConfig(Model):
    """A view of a run. Thresholds judge first, then near-duplicates go, and then each cap takes what is too much, by
    chance."""

    job: ClassVar[str] = "refilter"
    filter: JudgeConfig = JudgeConfig()
    """Thresholds; one that is not set is the run's own."""
    min_subject_hash_distance: HashDistance | None = None
    """Bits of 64 in which the perceptual hashes of two subjects of a class must differ; of the later one no pair is
    accepted. null: all may look alike."""
    max_per_subject: Positive | None = None
    """Accepted pairs of a subject."""
    max_per_class: Positive | Literal["fewest"] | None = None
    """Accepted pairs of a class; fewest: as many as the class has that has the fewest."""
    max_per_category: Positive | Literal["fewest"] | None = None
    """As `max_per_class`, of a category of changes."""
    seed: Seed = 0
    """Of the chance."""

    def judge_of(self, run: PairDatasetConfig) -> JudgeConfig:
        """The thresholds: the run's, but for those that are set. Raises ConfigError where the run has no such score."""
        changes = {name: getattr(self.filter, name) for name in self.filter.model_fields_set}
        judge = run.stages.judge.model_copy(update=changes)
        if judge.min_aesthetic is not None and run.models.aesthetic is None:
            raise ConfigError("filter.min_aesthetic: the run has no aesthetic scores")
        return judge
