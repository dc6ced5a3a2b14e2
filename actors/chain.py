"""Chains the stages over shards: inline, or on Ray (`on_ray.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from actors.base import Progress, Shard, Stage
from actors.guard import Guard, NoGuard
from actors.stage_counts import StageCounts
from actors.stages.draft import Draft
from actors.stages.edit import Edit
from actors.stages.refine import Refine
from actors.stages.score import Score
from actors.stages.segment import Segment
from actors.stages.synthesize import Synthesize
from actors.stages.view import View
from actors.write import Write
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.generation import GenerationDisplay
from toffee_pipeline.metrics import Record, no_record
from toffee_pipeline.on_ray.metrics import RayRecord
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.totals import Totals

STAGE_CLASSES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Synthesize, Segment, Draft, Refine, Edit, View, Score)
}
"""In the order of a pair's life."""


class StageChain:
    """Some stages in a row over one set of models: what one actor runs."""

    def __init__(
        self, config: RunConfig, names: Iterable[str], progress: Progress, guard: Guard, record: Record = no_record
    ) -> None:
        from toffee_pipeline.models.model_set import ModelSet  # torch: seconds that no driver need spend

        models = ModelSet(config)
        self._record = record
        self.stages = [STAGE_CLASSES[name](config, models, progress, guard) for name in names]
        for stage in self.stages:
            stage.load()

    def __call__(self, shard: Shard) -> Shard:
        for stage in self.stages:
            pairs = shard.open_pairs()
            shard = stage(shard)
            self._record("toffee_stage_pairs_in", len(pairs), stage=stage.name)
            ended = Counter((state.status, state.reason or "") for state in pairs if state.status != "ok")
            for (outcome, reason), number in ended.items():
                self._record("toffee_stage_pairs_out", number, stage=stage.name, outcome=outcome, reason=reason)
        return shard


def run(
    config: RunConfig,
    output: str,
    shards: list[int],
    display: GenerationDisplay,
    totals: Totals,
    record: RayRecord | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Generator[dict[str, Any]]:
    """Computes and commits `shards`; yields each one's counts as it is committed, in any order. Close it to stop.

    Args:
        totals: of the run so far; the caller adds to it what is yielded. Measured costs of the stages come from there.
        record: the driver's metrics, kept fresh while Ray is up.
        say: gets a line when the placement is chosen, or changes.
    """
    if not shards:
        return
    if config.placement == "inline":
        yield from _run_inline(config, output, shards, display)
    else:
        from actors.executors.on_ray import run_on_ray

        yield from run_on_ray(config, output, shards, display, totals, record or RayRecord(output), say)


def _run_inline(
    config: RunConfig, output: str, shards: list[int], display: GenerationDisplay
) -> Iterator[dict[str, Any]]:
    import torch

    torch.set_num_threads(max(1, int(config.fused.num_cpus)))  # as in an actor: the same bits, and faster on tiny nets
    plan, stage_counts, write = Plan(config), StageCounts(), Write(config, output)

    def progress(stage: str, rows: int, seconds: float) -> None:
        stage_counts.add(stage, rows, seconds)
        display.update(stage_counts.snapshot())

    chain = StageChain(config, STAGE_CLASSES, progress, NoGuard())
    for index in shards:
        yield write(chain(Shard.from_plan(plan, index)))
