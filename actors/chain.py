"""The stages in the order of a pair's life, and the chain of them that one process runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from actors.energy import Meter, meter_of, no_meter
from actors.guard import Guard
from actors.stage import Progress, Stage, StageTable
from actors.stages.check import CheckDraft, CheckRefined, CheckSubject
from actors.stages.check_images import CheckImages
from actors.stages.check_prompts import CheckPrompts
from actors.stages.depth import Depth
from actors.stages.draft import Draft
from actors.stages.draw import Draw
from actors.stages.edit import Edit
from actors.stages.judge import Judge
from actors.stages.judge_subjects import JudgeSubjects
from actors.stages.refine import Refine
from actors.stages.score import Score
from actors.stages.score_pictures import ScorePictures
from actors.stages.score_subjects import ScoreSubjects
from actors.stages.screen import Screen
from actors.stages.segment import Segment
from actors.stages.segment_pairs import SegmentPairs
from actors.stages.segment_pictures import SegmentPictures
from actors.stages.segment_subjects import SegmentSubjects
from actors.stages.synthesize import Synthesize
from actors.stages.view import View
from toffee_pipeline.collector import collector_paused
from toffee_pipeline.config.dataset import DatasetConfig, SubjectDatasetConfig
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.config.stages import settings_of
from toffee_pipeline.metrics import MetricSink, no_metrics
from toffee_pipeline.models.roles import has_weights
from toffee_pipeline.models.same_files import require_same_files

STAGE_CLASSES: StageTable = {
    stage.name: stage
    for stage in (
        Screen,
        CheckPrompts,
        Synthesize,
        Segment,
        Depth,
        CheckSubject,
        Draft,
        CheckDraft,
        Refine,
        CheckRefined,
        Edit,
        View,
        CheckImages,
        Score,
        Judge,
    )
}
"""The class of each of `config.stages.STAGES`: what makes pairs."""
BANK_STAGE_CLASSES: StageTable = {
    stage.name: stage
    for stage in (
        Screen,
        CheckPrompts,
        Synthesize,
        SegmentSubjects,
        Depth,
        CheckImages,
        ScoreSubjects,
        JudgeSubjects,
    )
}
"""What makes a subject bank."""
GIVEN_STAGE_CLASSES: StageTable = {
    stage.name: stage for stage in (Screen, CheckPrompts, SegmentPairs, Refine, CheckImages, Score, Judge)
}
"""What refines pairs that are given."""
EVALUATION_STAGE_CLASSES: StageTable = {stage.name: stage for stage in (Draw, SegmentPictures, ScorePictures)}
"""What draws and scores an evaluation's pictures."""


def stages_of(config: DatasetConfig) -> StageTable:
    """The stages of a run: pairs of banked subjects need neither their images nor their depth made, a gate without a
    bound is left out, and an evaluation has no stage whose models its config does not name."""
    if isinstance(config, EvaluationConfig):
        classes = EVALUATION_STAGE_CLASSES.items()
        return {name: stage for name, stage in classes if all(has_weights(role, config) for role in stage.roles)}
    off = {*settings_of(type(config.stages))} - {*config.model_stages}
    if isinstance(config, RefinementConfig):
        table = GIVEN_STAGE_CLASSES
    else:
        assert isinstance(config, SubjectDatasetConfig)  # there is no other job with shards
        table = STAGE_CLASSES if isinstance(config, RunConfig) else BANK_STAGE_CLASSES
    if not config.stages.screen.enabled:
        off.add("screen")
    return {name: stage for name, stage in table.items() if name not in off}


class StageChain:
    """Some stages in a row over one set of models: what one actor runs.

    num_threads: of torch on the CPU. The same in every executor, so that they give the same bits; more are no faster
    on tiny networks.
    """

    def __init__(
        self,
        config: DatasetConfig,
        stages: Sequence[type[Stage]],
        progress: Progress,
        guard: Guard,
        metrics: MetricSink = no_metrics,
        num_threads: int = 1,
    ) -> None:
        self._config, self._metrics = config, metrics
        self._looked = False
        with collector_paused():
            models = None
            meter: Meter = no_meter
            if any(stage.roles for stage in stages):
                import torch  # seconds that neither a driver nor stages without models need spend

                from toffee_pipeline.models.model_set import ModelSet

                torch.set_num_threads(num_threads)
                models = ModelSet(config)
                meter = meter_of(models.device)
            self.stages = [stage(config, models, progress, guard) for stage in stages]
            for stage in self.stages:
                stage.meter = meter
                stage.load()

    def __call__(self, shard: Any) -> Any:
        """shard: a `RowShard` of the kind that the stages take, which is returned.

        Raises RunMismatch as `require_same_files`: with a shard, since Ray hides what an actor raises at its start.
        """
        if not self._looked:
            require_same_files(self._config, (role for stage in self.stages for role in stage.roles))
            self._looked = True
        for stage in self.stages:
            rows = shard.open_rows()
            shard = stage(shard)
            self._metrics("toffee_stage_pairs_in", len(rows), stage=stage.name)
            ended = Counter((state.status, state.reason or "") for state in rows if state.status != "ok")
            for (outcome, reason), number in ended.items():
                self._metrics("toffee_stage_pairs_out", number, stage=stage.name, outcome=outcome, reason=reason)
        return shard
