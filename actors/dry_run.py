"""What a dry run says of the data that a plan asks for. Needs no weights."""

from __future__ import annotations

from toffee_pipeline.console.plan import print_survey
from toffee_pipeline.plan.shards import ShardPlan
from toffee_pipeline.plan.subjects import SubjectPlan
from toffee_pipeline.plan.survey import survey


def show_plan(plan: ShardPlan) -> None:
    """Prints what is planned; of an evaluation nothing, since its benchmark says it all."""
    if isinstance(plan, SubjectPlan):
        from toffee_pipeline.models.prompts import measure  # seconds, that no other start need wait

        found = survey(plan)
        print_survey(found, measure(found.texts, plan.config.models.sdxl))
