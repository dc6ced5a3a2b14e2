"""Who wrote the words of a dataset, in sentences for its card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.errors import ToffeeError
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.description import PairRun
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.storage import Storage

ORIGINS_SHOWN = 10


def words_of(run: PairRun, storage: Storage, captions: bool) -> Iterator[str]:
    """storage: of the run. captions: whether its images were given, which may have some."""
    config = run.config
    if isinstance(config, RefinementConfig):
        yield "Prompts, captions and instructions are the set's own; without a prompt an instruction stands for it."
        if config.other_languages == "refuse":
            yield "Pairs whose prompt is not English were rejected."
        else:
            yield "Prompts in other languages than English were kept."
        return
    yield (
        "Prompts, captions and instructions are made by templates from the catalogue "
        f"`{one_line(config.subjects.catalog)}`."
    )
    if config.subjects.source == "bank":
        yield f"Subjects, and what is said of them, are of the subject bank `{one_line(str(config.subjects.path))}`."
    if captions:
        yield "Where an image had a caption beside it, what is said of its subject are that caption's words."
    if config.pairs.prompt_bank is not None:
        yield f"Changes are also of the prompt bank `{one_line(config.pairs.prompt_bank)}`: {_origins(run, storage)}."
    if config.other_languages == "refuse":
        yield "They are in English."
    else:
        yield "What was in other languages than English was kept."


def _origins(run: PairRun, storage: Storage) -> str:
    """Who wrote the bank's rows, and under which licences. The bank lies outside of the run: it may be another by now,
    or gone."""
    config = run.config
    assert isinstance(config, RunConfig)  # others have no bank
    try:
        plan = cast(Plan, stored_plan(storage, config))
    except (ToffeeError, OSError):
        plan = None
    if plan is None or plan.hash != run.plan_hash:
        return "who wrote its rows, and under which licences, is not known any more"
    origins = plan.catalog.bank.origins
    shown = [f"{number:,} rows by {who} ({license})" for (who, license), number in origins.most_common(ORIGINS_SHOWN)]
    left = origins.total() - sum(number for _, number in origins.most_common(ORIGINS_SHOWN))
    return "; ".join([*shown, *([f"{left:,} more"] if left else [])])
