"""Every setting of a run of `jobs/generate_subjects.py`. `profiles/generate_subjects/*.yaml` hold the values."""

from __future__ import annotations

from typing import ClassVar, Literal

from toffee_pipeline.config.base import Positive
from toffee_pipeline.config.dataset import SubjectDatasetConfig, SubjectsConfig
from toffee_pipeline.config.stages import BankStagesConfig


class MadeSubjectsConfig(SubjectsConfig):
    """Where the images of a bank come from: not from a bank."""

    source: Literal["synthesis", "folder", "renderer"] = "synthesis"


class SubjectBankConfig(SubjectDatasetConfig):
    """One run of `jobs/generate_subjects.py`: a bank of subjects for runs of `jobs/generate.py`."""

    job: ClassVar[str] = "generate_subjects"
    subjects: MadeSubjectsConfig = MadeSubjectsConfig()
    count: Positive = 250_000
    """How many subjects."""
    renderer_plays: tuple[Literal["subject", "mask", "depth"], ...] = ()
    """As in a run of pairs."""
    stages: BankStagesConfig = BankStagesConfig()
