"""What a dry run prints of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from toffee_pipeline.console.columns import print_columns
from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.plan.survey import STRETCHES, Survey


class Lengths(Protocol):
    """Tokens of prompts, as `models.prompts.Lengths`."""

    @property
    def longest(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def over(self) -> Sequence[str]: ...


def print_survey(survey: Survey, lengths: Lengths) -> None:
    """A row per class, its pairs by kind and category, and what is different, too long or lacking."""
    console = Stdout()
    about = "" if survey.is_whole else "about "
    console.out(
        f"counted over all {survey.num_subjects:,} subjects"
        if survey.is_whole
        else f"estimated from {survey.counted:,} of {survey.num_subjects:,} subjects, in {STRETCHES} stretches",
    )
    cells = survey.cells
    rows = [
        [name, f"{number:,.0f}", *(f"{survey.pairs.get(name, {}).get(cell, 0):,.0f}" for cell in cells)]
        for name, number in sorted(survey.subjects.items())
    ]
    total = ["all", f"{survey.num_subjects:,}", *(f"{survey.total(cell):,.0f}" for cell in cells)]
    print_columns(console, ["class", "subjects", *(f"{kind} {category}" for kind, category in cells)], [*rows, total])
    console.out(f"subjects: {survey.num_subjects:,}, {about}{survey.distinct_subjects:,.0f} different")
    if survey.pairs:
        console.out(f"pairs: {survey.num_rows:,}, {about}{survey.distinct_prompts:,.0f} different prompts")
    console.out(
        f"tokens: at most {lengths.longest} of {lengths.limit} in {len(survey.texts):,} different prompts of subjects "
        f"and drafts; {len(lengths.over):,} are too long",
    )
    console.out(
        f"language: {len(survey.foreign):,} of these are not English, which CLIP's filter does not understand",
    )
    foreign = (f"not English: {text!r}" for text in survey.foreign[:3])
    too_long = (f"too long, so its pairs fail: {text!r}" for text in lengths.over[:3])
    for line in [*foreign, *too_long, *survey.gaps]:
        console.out(line)
