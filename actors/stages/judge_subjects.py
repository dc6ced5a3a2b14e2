"""The verdict on the subjects of a bank."""

from __future__ import annotations

from actors.shard import Shard
from actors.stage import Stage
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.filters import SUBJECT_SCORES, decide


class JudgeSubjects(Stage):
    name = "judge"
    config: SubjectBankConfig

    def process(self, shard: Shard) -> None:
        for state in shard.open_subjects():
            reason = decide(state.scores, self.config.stages.judge, table=SUBJECT_SCORES)
            if reason is None:
                state.status = "accepted"
            else:
                state.reject(reason)
