"""figures.json: what an evaluation found."""

from __future__ import annotations

from toffee_pipeline.evaluation.figures import Group, SelfTest
from toffee_pipeline.rundir.run_file import RunFile


class Evaluation(RunFile):
    """drawn: None where real pictures alone were scored. inputs: subject to its input image. encoders: as the roles of
    run.json."""

    self_test: SelfTest
    real: Group
    drawn: Group | None
    by_category: list[Group]
    by_group: list[Group]
    by_subject: list[Group]
    by_prompt: list[Group]
    inputs: dict[str, str]
    encoders: dict[str, str]
    libraries: dict[str, str]
