"""Subject banks for tests: of noise, made by the real job with a stage that needs no model."""

from __future__ import annotations

from actors.shard import Shard, SubjectState
from actors.stage import Stage, StageTable
from actors.stages.judge_subjects import JudgeSubjects
from jobs.generate import generate
from tests.helpers.stub_stages import DEPTH, MASK, picture
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.load import load_config


class PaintSubjects(Stage):
    """Fills everything that the models' stages fill; every third subject does not show its prompt."""

    name = "score"

    def process(self, shard: Shard) -> None:
        def store(state: SubjectState, score: float) -> None:
            state.image, state.mask, state.depth = picture(state.subject.seed), MASK, DEPTH
            state.scores = {"clip": score}

        self.run(shard.open_subjects(), lambda batch: [(-0.1, 0.9, 0.9)[int(s.id[1:]) % 3] for s in batch], store)


STUB_BANK_STAGES: StageTable = {stage.name: stage for stage in (PaintSubjects, JudgeSubjects)}


def bank_config(*overrides: str) -> SubjectBankConfig:
    return load_config("nano", ("placement=inline", "count=9", "subjects_per_shard=3", *overrides), SubjectBankConfig)


def make_bank(output: str, *overrides: str) -> SubjectBankConfig:
    """A bank of nine subjects in three shards, six of them accepted."""
    config = bank_config(*overrides)
    generate(config, output, stages=STUB_BANK_STAGES)
    return config
