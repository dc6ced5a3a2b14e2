"""Wall time of a run of which one worker in eight is slow, over the ideal in which all eight work to the last second.

The job is the real one over sleeping stages, as in `scaling.py`; on one GPU each stage takes --factor times as long.

    ratio = wall time / (seconds that all stages ask for / (7 + 1 / factor))

A slow worker that takes the last shard is waited for: a run that is short loses more by it.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.record import Record, json_option
from benchmarks.stub_job import wall_s
from benchmarks.stub_pipeline import PAIRS_PER_SHARD, Settings, seconds_asked, stub_config

GPUS = 8


@click.command(help=__doc__)
@click.option("--shards-per-gpu", default=120, show_default=True, help="Of 16 pairs.")
@click.option("--factor", default=3.0, show_default=True, help="How much slower the slow worker is.")
@click.option("--scale", default=0.05, show_default=True, help="Seconds of sleep per second of the profile.")
@click.option("--quick", is_flag=True, help="Ten shards per GPU, a hundredth of the profile's seconds.")
@json_option
def main(shards_per_gpu: int, factor: float, scale: float, quick: bool, path: Path | None) -> None:
    if quick:
        shards_per_gpu, scale = 10, 0.01
    record = Record("straggler", path)
    config = stub_config(GPUS * shards_per_gpu * PAIRS_PER_SHARD)
    work = sum(sum(shard.values()) for shard in seconds_asked(config)) * scale
    ideal = work / (GPUS - 1 + 1 / factor)
    took = wall_s(config, GPUS, Settings(scale, slow_gpu=0, slow_factor=factor))
    record.add(
        wall_s=took,
        ideal_s=ideal,
        ratio=took / ideal,
        conditions=f"as scaling, x {scale:g}; {GPUS * shards_per_gpu} shards of {PAIRS_PER_SHARD} pairs on {GPUS} GPUs",
    )


if __name__ == "__main__":
    main()
