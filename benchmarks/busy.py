"""Share of the wall time in which the GPU computes, over whole shards at real size with all coding and writing.

    python -m benchmarks.busy --json busy.json

Draft, refine and view of the sdxl profile (random weights) over shards of synthetic subjects, one after the other in
this process as the inline executor runs them, each written while the next one is computed. The clock runs from the end
of the first shard's last stage to the end of the last one's, so that as many shards are written in it as are computed.
Fewer denoising steps than the profile's make the share smaller, not larger: coding stays as it is.

    ratio = time in which at least one kernel or copy runs on the GPU / wall time
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import torch
from torch.profiler import ProfilerActivity, profile

from actors.executors.inline import written_behind
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import no_progress
from actors.stages.draft import Draft
from actors.stages.judge import Judge
from actors.stages.refine import Refine
from actors.stages.view import View
from actors.write import Write
from benchmarks.real_size import (
    common_options,
    filled_shard,
    run_config,
    run_stage,
    set_up,
)
from benchmarks.record import Record
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.network_clock import now

STAGES = (Draft, Refine, View)


def accept(shard: Shard, config: RunConfig) -> None:
    """A verdict for every open pair: all are good."""
    for state in shard.open_pairs():
        state.scores = {"dino": 0.9, "clip": 0.9}
    Judge(config, None, no_progress, NoGuard())(shard)


def merged(intervals: Iterable[tuple[int, int]]) -> int:
    """Length of the union of (start, end)."""
    total, reached = 0, -1
    for start, end in sorted(intervals):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


@click.command(help=__doc__)
@common_options
@click.option("--pairs", default=16, show_default=True, help="Pairs of a shard.")
@click.option("--shards", default=2, show_default=True, help="Timed shards; one more goes before them.")
@click.option("--steps", default=8, show_default=True, help="Denoising steps of every stage.")
def main(device: str, tiny: bool, path: Path | None, pairs: int, shards: int, steps: int) -> None:
    on = set_up(device)
    config = run_config(tiny, device, pairs, STAGES, steps, shards + 1)
    record = Record("busy", path, on)
    record.add(size_px=config.size_px, steps=steps, pairs=pairs, shards=shards)
    models = ModelSet(config)
    filled = [filled_shard(config, index) for index in range(shards + 1)]
    profiler = profile(activities=[ProfilerActivity.CUDA if on.type == "cuda" else ProfilerActivity.CPU])
    ended: list[float] = []

    def computed() -> Iterator[Shard]:
        for shard in filled:
            for stage in STAGES:
                run_stage(stage, models, shard)
            accept(shard, config)
            ended.append(now(on))
            if len(ended) == 1:
                profiler.start()
            elif len(ended) == len(filled):
                profiler.stop()
            yield shard

    with tempfile.TemporaryDirectory() as folder:
        for _ in written_behind(computed(), Write(config, folder)):
            pass
    wall_s = ended[-1] - ended[0]
    record.add(wall_s=wall_s, s_per_pair=wall_s / (shards * pairs))
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None  # it has run
    events = profiler.profiler.kineto_results.events()
    on_device = [event for event in events if event.device_type() == torch.autograd.DeviceType.CUDA]
    busy_s = merged((event.start_ns(), event.start_ns() + event.duration_ns()) for event in on_device) / 1e9
    record.add(kernels=len(on_device), busy_s=busy_s, ratio=busy_s / wall_s)
    record.add(conditions=f"{config.size_px} px, {shards} shards of {pairs} pairs, {steps} steps, random weights")


if __name__ == "__main__":
    main()
