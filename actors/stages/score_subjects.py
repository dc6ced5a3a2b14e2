"""Scores of the subjects of a bank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.shard import Shard, SubjectState
from actors.stages.score import ScoreStage
from toffee_pipeline.filters import SUBJECT_SCORES


class ScoreSubjects(ScoreStage[SubjectState]):
    table = SUBJECT_SCORES
    roles = tuple(score.role for score in SUBJECT_SCORES)

    def process(self, shard: Shard) -> None:
        self.score(shard, shard.open_subjects())

    def material(self, shard: Shard, state: SubjectState) -> Mapping[str, Any]:
        return {"image": state.rgb(), "prompt": state.subject.prompt}
