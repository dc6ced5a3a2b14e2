"""What a dry run says of the data that a plan asks for, and of its costs. Needs no weights."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cost_plan import plan_costs
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.costs import print_costs
from toffee_pipeline.console.plan import print_survey
from toffee_pipeline.console.say import say
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.plan.shards import ShardPlan
from toffee_pipeline.plan.subjects import SubjectPlan
from toffee_pipeline.plan.survey import survey
from toffee_pipeline.safety.text_filter import TextFilter

MAX_NAMED = 5
"""Most unsafe prompts that are named."""


def show_plan(plan: ShardPlan) -> None:
    """Prints what is planned, with its costs where these are measured; of an evaluation nothing, since its benchmark
    says it all."""
    if isinstance(plan, SubjectPlan):
        from toffee_pipeline.models.prompts import measure  # seconds, that no other start need wait

        found = survey(plan)
        print_survey(found, measure(found.texts, plan.config.models.sdxl))
        _show_unsafe(plan, found.texts)
    if isinstance(plan.config, RunConfig) and plan.config.measurements is not None:
        print_costs(plan_costs(plan.config, plan.num_rows, plan.num_subjects))


def _show_unsafe(plan: SubjectPlan, texts: Sequence[str]) -> None:
    """What the text filter will refuse of the different prompts of subjects and drafts."""
    settings = plan.config.stages.screen
    if not settings.enabled:
        return
    text_filter = TextFilter(settings.allow, settings.deny)
    refused = [(text, finding) for text in texts if (finding := text_filter.find(text))]
    say(f"unsafe by the text filter: {len(refused):,} of these prompts, whose pairs are rejected")
    for text, finding in refused[:MAX_NAMED]:
        say(f"  {finding}, in {one_line(text)!r}")
