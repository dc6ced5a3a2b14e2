"""Seconds per accepted pair of a run at real size over the closed form for its measured stage costs and pass rates.

    python -m benchmarks.optimum --json optimum.json

Draft, refine and view of the sdxl profile (random weights) over shards of synthetic subjects, each written while the
next one is computed. After draft, refine and view a share of the pairs is rejected by its id. The clock runs from the
end of the first shard's last stage to the end of the last one's, as in `busy.py`.

Costs c_i are the run's own, so that what a machine's speed does meanwhile is in both: of a pair in full micro-batches,
but for the first of each stage and shard, before which nothing is read ahead; and a share of what its subject costs
there. The pass rates p_i are those of the run too.

    ratio = seconds of the run per accepted pair / sum_i c_i / prod_{j >= i} p_j
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

import click

from actors.executors.inline import written_behind
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import Stage
from actors.stages.draft import Draft
from actors.stages.refine import Refine
from actors.stages.view import View
from actors.write import Write
from benchmarks.busy import STAGES, accept
from benchmarks.real_size import (
    common_options,
    filled_shard,
    run_config,
    set_up,
)
from benchmarks.record import Record
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.network_clock import now
from toffee_pipeline.plan.costs import per_accepted

EVERY = {Draft.name: 4, Refine.name: 5, View.name: 3}
"""After these stages every such pair of those that are left is rejected."""


class MicroBatches(NoGuard):
    """Notes the ids and the seconds of each micro-batch: a guard that is told the ones, and a progress the others."""

    def __init__(self) -> None:
        self.found: list[tuple[list[str], float]] = []
        self._ids: list[str] = []

    @contextmanager
    def watch(self, stage: str, ids: Sequence[str], timeout_s: float) -> Iterator[None]:
        self._ids = list(ids)
        yield

    def progress(self, stage: str, rows: int, seconds: float) -> None:
        self.found.append((self._ids, seconds))


@click.command(help=__doc__)
@common_options
@click.option(
    "--pairs",
    type=click.IntRange(min=32),
    default=64,
    show_default=True,
    help="Pairs of a shard: two full micro-batches of the last stage at least.",
)
@click.option("--shards", default=1, show_default=True, help="Timed shards; one more goes before them.")
@click.option("--steps", default=4, show_default=True, help="Denoising steps of every stage.")
def main(device: str, tiny: bool, path: Path | None, pairs: int, shards: int, steps: int) -> None:
    on = set_up(device)
    config = run_config(tiny, device, pairs, STAGES, steps, shards + 1)
    record = Record("optimum", path, on)
    models = ModelSet(config)
    filled = [filled_shard(config, index) for index in range(shards + 1)]
    started, left, accepted = Counter[str](), Counter[str](), 0
    full: dict[str, list[float]] = {stage.name: [] for stage in STAGES}
    subjects_s = dict.fromkeys(full, 0.0)
    ended: list[float] = []

    def compute(stage: type[Stage], shard: Shard) -> None:
        rows, batches = shard.open_pairs(), MicroBatches()
        stage(config, models, batches.progress, batches)(shard)
        for state in rows[:: EVERY[stage.name]]:
            state.reject("low_clip")
        if not ended:
            return
        ids_of_pairs = {state.id for state in rows}
        of_pairs = [(len(ids), seconds) for ids, seconds in batches.found if ids[0] in ids_of_pairs]
        full[stage.name] += [
            seconds / number for number, seconds in of_pairs[1:] if number == config.stage(stage.name).batch_size
        ]
        subjects_s[stage.name] += sum(seconds for ids, seconds in batches.found if ids[0] not in ids_of_pairs)
        started[stage.name] += len(rows)
        left[stage.name] += len(shard.open_pairs())

    def computed() -> Iterator[Shard]:
        """Counts all but the first."""
        nonlocal accepted
        for shard in filled:
            for stage in STAGES:
                compute(stage, shard)
            accept(shard, config)
            if ended:
                accepted += sum(state.status == "accepted" for state in shard.pairs)
            ended.append(now(on))
            yield shard

    with tempfile.TemporaryDirectory() as folder:
        for _ in written_behind(computed(), Write(config, folder)):
            pass
    run_s = ended[-1] - ended[0]
    costs = {name: mean(seconds) + subjects_s[name] / started[name] for name, seconds in full.items()}
    passed = {name: left[name] / rows for name, rows in started.items()}
    expected = sum(per_accepted(costs, passed, list(costs)).values())
    record.add(
        steps=steps,
        **{f"{name}_s": cost for name, cost in costs.items()},
        pairs=shards * pairs,
        accepted=accepted,
        passed=[round(rate, 3) for rate in passed.values()],
        s_per_accepted=run_s / accepted,
        closed_form_s=expected,
        ratio=run_s / accepted / expected,
        conditions=f"{config.size_px} px, {shards} shards of {pairs} pairs, {steps} steps, random weights",
    )


if __name__ == "__main__":
    main()
