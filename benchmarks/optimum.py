"""Seconds per accepted pair of a run at real size over the closed form for its measured stage costs and pass rates.

    python -m benchmarks.optimum --json optimum.json

Draft, refine and view of the sdxl profile (random weights) over shards of synthetic subjects, each written while the
next one is computed. After draft, refine and view a share of the pairs is rejected by its id. The clock runs from the
end of the first shard's last stage to the end of the last one's, as in `busy.py`. Costs c_i are those of a row in full
micro-batches, the middle one of a measurement before each run and after the last; the pass rates p_i are those of the
runs.

    ratio = seconds of the runs per accepted pair / sum_i c_i / prod_{j >= i} p_j
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import click

from actors.executors.inline import written_behind
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import no_progress
from actors.stages.draft import Draft
from actors.stages.refine import Refine
from actors.stages.view import View
from actors.write import Write
from benchmarks.busy import STAGES, accept
from benchmarks.real_size import (
    common_options,
    filled_shard,
    run_config,
    run_stage,
    set_up,
)
from benchmarks.record import Record
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.network_clock import now
from toffee_pipeline.plan.costs import per_accepted

EVERY = {Draft.name: 4, Refine.name: 5, View.name: 3}
"""After these stages every such pair of those that are left is rejected."""


@click.command(help=__doc__)
@common_options
@click.option("--pairs", default=64, show_default=True, help="Pairs of a shard.")
@click.option("--shards", default=1, show_default=True, help="Timed shards of a run; one more goes before them.")
@click.option("--runs", default=1, show_default=True, help="More of them even out a busy machine.")
@click.option("--steps", default=4, show_default=True, help="Denoising steps of every stage.")
def main(device: str, tiny: bool, path: Path | None, pairs: int, shards: int, runs: int, steps: int) -> None:
    on = set_up(device)
    config = run_config(tiny, device, pairs, STAGES, steps, shards + 1)
    record = Record("optimum", path, on)
    models = ModelSet(config)
    size = max(config.stage(stage.name).batch_size for stage in STAGES)
    few = config.with_count(4 * size)

    def seconds_per_row() -> dict[str, float]:
        shard = filled_shard(few)
        return {stage.name: run_stage(stage, models, shard) / len(shard.pairs) for stage in STAGES}

    started, left, accepted, run_s = Counter[str](), Counter[str](), 0, 0.0

    def computed(filled: list[Shard]) -> Iterator[Shard]:
        """Counts all but the first."""
        nonlocal accepted, run_s
        ended: list[float] = []
        for shard in filled:
            for stage in STAGES:
                rows = shard.open_pairs()
                stage(config, models, no_progress, NoGuard())(shard)
                for state in rows[:: EVERY[stage.name]]:
                    state.reject("low_clip")
                if ended:
                    started[stage.name] += len(rows)
                    left[stage.name] += len(shard.open_pairs())
            accept(shard, config)
            if ended:
                accepted += sum(state.status == "accepted" for state in shard.pairs)
            ended.append(now(on))
            yield shard
        run_s += ended[-1] - ended[0]

    seconds_per_row()  # pays for what is done once
    measured = [seconds_per_row()]
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            filled = [filled_shard(config, index) for index in range(shards + 1)]
            for _ in written_behind(computed(filled), Write(config, folder)):
                pass
        measured.append(seconds_per_row())
    costs = {name: median(each[name] for each in measured) for name in started}
    passed = {name: left[name] / rows for name, rows in started.items()}
    expected = sum(per_accepted(costs, passed, list(costs)).values())
    record.add(
        steps=steps,
        **{f"{name}_s": cost for name, cost in costs.items()},
        pairs=runs * shards * pairs,
        accepted=accepted,
        passed=[round(rate, 3) for rate in passed.values()],
        s_per_accepted=run_s / accepted,
        closed_form_s=expected,
        ratio=run_s / accepted / expected,
        conditions=f"{config.size_px} px, {runs} x {shards} shards of {pairs} pairs, {steps} steps, random weights",
    )


if __name__ == "__main__":
    main()
