"""Peak memory of the driver for ten times the pairs.

The driver sees counts and never pixels, so its memory should not grow with the dataset. The whole job runs on Ray
(placement fused) in a process of its own, once per size, with stages without models in place of the pipeline's
(`stub_stage.py`); Ray's workers are other processes and do not count. Shards have the same size in both runs, so ten
times the pairs are ten times the shards too.

The ratio is the peak RSS of the driver of the large job over that of the small one: 1 means that no pair and no shard
leaves a trace in the driver; up to 1.10 passes. Since the imports alone ("start") are most of a peak, two stricter
figures follow: the ratio of what the jobs added to the start, and the difference of the peaks per additional shard,
which is what a larger job should be expected to add.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.fresh import MIB, in_fresh_process, peak_rss_bytes
from benchmarks.stub_stage import STUB_STAGES
from jobs.generate import generate
from toffee_pipeline.config.load import load_config
from toffee_pipeline.on_ray.placement import SPARE_CPUS

BAR = 1.10
ROOT = str(Path(__file__).parents[1])


def drive(num_pairs: int, subjects_per_shard: int) -> dict[str, Any]:
    """Runs the job as its driver; peaks in bytes, before it and after."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # as ray_session does
    import ray

    sizes = (f"pairs.count={num_pairs}", f"subjects_per_shard={subjects_per_shard}")
    config = load_config("nano", ("placement=fused", "fused.num_actors=1", *sizes))
    before = peak_rss_bytes()
    ray.init(
        address="local",
        num_cpus=1 + SPARE_CPUS,
        include_dashboard=False,
        logging_level="WARNING",
        runtime_env={"env_vars": {"PYTHONPATH": ROOT}},
    )
    with tempfile.TemporaryDirectory() as folder:
        summary = generate(config, folder, stages=STUB_STAGES)
    assert summary is not None
    ray.shutdown()
    return {"before": before, "peak": peak_rss_bytes(), **summary.model_dump()}


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Pairs of the reference job.")
@click.option("--large", default=10_000, show_default=True, help="Pairs of the large job.")
@click.option("--subjects-per-shard", default=2, show_default=True, help="With 4 pairs each.")
def main(small: int, large: int, subjects_per_shard: int) -> None:
    names = ("pairs", "shards", "accepted", "rejected", "wall s", "start MiB", "peak MiB")
    click.echo("".join(f"{name:>11}" for name in names))
    jobs = []
    for num_pairs in (small, large):
        job = in_fresh_process(drive, num_pairs, subjects_per_shard)
        jobs.append(job)
        numbers = (job["planned"], job["shards"], job["accepted"], sum(job["rejected"].values()))
        figures = (job["elapsed_s"], job["before"] / MIB, job["peak"] / MIB)
        click.echo("".join(f"{number:>11}" for number in numbers) + "".join(f"{figure:>11.1f}" for figure in figures))
    few, many = jobs
    added = (many["peak"] - many["before"]) / (few["peak"] - few["before"])
    per_shard = (many["peak"] - few["peak"]) / (many["shards"] - few["shards"])
    click.echo(f"ratio of the peaks: {many['peak'] / few['peak']:.3f} (bar: {BAR:.2f})")
    click.echo(f"ratio of what the jobs added to the start: {added:.3f}")
    click.echo(f"per additional shard: {per_shard / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
