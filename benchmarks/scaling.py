"""Work per second on N GPUs over N times that on one GPU, with stages that sleep.

The job is the real one, on a Ray of this machine that is told to have N GPUs, placement auto: planning, Ray Data,
guards, moving, writing and committing as on a cluster. Its stages sleep for the sdxl profile's seconds times --scale
and reject a fixed share of the pairs (`stub_pipeline.py`), so that shards take unequal times. Work is the seconds that
the stages of all shards ask for. The clock runs from when all actors are there to the last commit: pipeline fill and
drain are inside, the start of the processes is not.

    ratio_N = work per second on N GPUs / (N times that on one GPU)

All N actors share the cores of this machine with the driver and the writers: what these cost stays as it is while the
sleep shrinks, so a small --scale makes the ratio smaller, not larger.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.record import Record, json_option
from benchmarks.stub_job import wall_s
from benchmarks.stub_pipeline import PAIRS_PER_SHARD, Settings, seconds_asked, stub_config


@click.command(help=__doc__)
@click.option("--gpus", default=(1, 8, 32, 64), type=int, multiple=True, show_default=True)
@click.option("--shards-per-gpu", default=30, show_default=True, help="Of 16 pairs.")
@click.option("--scale", default=0.15, show_default=True, help="Seconds of sleep per second of the profile.")
@click.option("--quick", is_flag=True, help="1 and 2 GPUs, five shards for each, a twentieth of the profile's seconds.")
@json_option
def main(gpus: tuple[int, ...], shards_per_gpu: int, scale: float, quick: bool, path: Path | None) -> None:
    if quick:
        gpus, shards_per_gpu, scale = (1, 2), 5, 0.02
    record = Record("scaling", path)
    record.add(
        scale=scale,
        conditions=f"sleeping stages of the sdxl profile's seconds x {scale:g} with rejections, "
        f"{shards_per_gpu} shards of {PAIRS_PER_SHARD} pairs per GPU, real Ray on this machine, fill and drain inside",
    )
    one: float | None = None
    for num_gpus in sorted({1, *gpus}):
        config = stub_config(num_gpus * shards_per_gpu * PAIRS_PER_SHARD)
        work = sum(sum(shard.values()) for shard in seconds_asked(config)) * scale
        took = wall_s(config, num_gpus, Settings(scale))
        busy = work / took / num_gpus
        one = one or busy
        record.add(**{f"wall_s_{num_gpus}": took, f"busy_{num_gpus}": busy, f"ratio_{num_gpus}": busy / one})


if __name__ == "__main__":
    main()
