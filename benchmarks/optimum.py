"""Seconds per accepted pair of a run at real size over the closed form for its measured stage costs and pass rates.

    python -m benchmarks.optimum --json optimum.json

Draft, refine and view of the sdxl profile (random weights) over shards of synthetic subjects, each written. After
draft, refine and view a share of the pairs is rejected by its id. Costs c_i are those of a row in full micro-batches,
the middle one of a measurement before each shard of the run and after it; the pass rates p_i are those of the run.

    ratio = seconds of the run per accepted pair / sum_i c_i / prod_{j >= i} p_j
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import click

from actors.guard import NoGuard
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
@click.option("--shards", default=1, show_default=True, help="Shards of the run: more of them even out a busy machine.")
@click.option("--steps", default=4, show_default=True, help="Denoising steps of every stage.")
def main(device: str, tiny: bool, path: Path | None, pairs: int, shards: int, steps: int) -> None:
    on = set_up(device)
    config = run_config(tiny, device, pairs, STAGES, steps)
    record = Record("optimum", path, on)
    models = ModelSet(config)
    size = max(config.stage(stage.name).batch_size for stage in STAGES)
    two = config.with_count(2 * size)

    def seconds_per_row() -> dict[str, float]:
        shard = filled_shard(two)
        return {stage.name: run_stage(stage, models, shard) / len(shard.pairs) for stage in STAGES}

    seconds_per_row()  # pays for what is done once
    measured = [seconds_per_row()]
    started, left, accepted, run_s = Counter[str](), Counter[str](), 0, 0.0
    for _ in range(shards):
        shard = filled_shard(config)
        with tempfile.TemporaryDirectory() as folder:
            write = Write(config, folder)
            began = now(on)
            for stage in STAGES:
                rows = shard.open_pairs()
                stage(config, models, no_progress, NoGuard())(shard)
                for state in rows[:: EVERY[stage.name]]:
                    state.reject("low_clip")
                started[stage.name] += len(rows)
                left[stage.name] += len(shard.open_pairs())
            accept(shard, config)
            write(shard)
            run_s += now(on) - began
        accepted += sum(state.status == "accepted" for state in shard.pairs)
        measured.append(seconds_per_row())
    costs = {name: median(each[name] for each in measured) for name in started}
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
        conditions=f"{config.size_px} px, {shards} x {pairs} pairs, a shard each, {steps} steps, random weights",
    )


if __name__ == "__main__":
    main()
