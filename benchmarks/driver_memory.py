"""Peak memory of the driver and of the workers for a hundred times the pairs.

The driver sees counts and never pixels, so its memory should not grow with the dataset. The whole job runs on Ray
(placement fused) in a process of its own, once per size, with stages without models in place of the pipeline's
(`stub_stage.py`). Shards have the same size in both runs, so a hundred times the pairs are as many times the shards.

The ratio is the peak RSS of the driver of the large job over that of the small one: 1 means that no pair and no shard
leaves a trace in the driver. Since the imports alone ("before") are most of a peak, two stricter figures follow: the
ratio of what the jobs added to it, and the difference of the peaks per additional shard, which is what a larger job
should be expected to add. Of the workers, which compute and write the shards, it is the largest one's peak.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.fresh import MIB, in_fresh_process, peak_rss_bytes
from benchmarks.record import Record, json_option
from benchmarks.stub_stage import STUB_STAGES
from jobs.generate import generate
from toffee_pipeline.config.load import load_config

ROOT = str(Path(__file__).parents[1])


@contextmanager
def peaks_of_workers() -> Iterator[dict[int, int]]:
    """Process id -> peak in bytes of every process of a Ray that this process started and that runs Python for it,
    looked at once a second: the kernel keeps a peak as long as the process lives."""
    peaks: dict[int, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess, FileNotFoundError):  # one that ends meanwhile
                    if " ".join(process.cmdline()).startswith("ray::"):
                        peaks[process.pid] = peak_rss_bytes(process.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()


def drive(num_pairs: int, subjects_per_shard: int) -> dict[str, Any]:
    """Runs the job as its driver; peaks in bytes, before it and after."""
    os.environ["PYTHONPATH"] = ROOT  # the workers'
    os.environ.pop("RAY_ADDRESS", None)  # a Ray of the job's own: its processes are looked at
    sizes = (f"pairs.count={num_pairs}", f"subjects_per_shard={subjects_per_shard}")
    config = load_config("nano", ("placement=fused", "fused.num_actors=1", *sizes))
    before = peak_rss_bytes()
    with tempfile.TemporaryDirectory() as folder, peaks_of_workers() as worker_peaks:
        summary = generate(config, folder, stages=STUB_STAGES)
    assert summary is not None
    return {
        "before": before,
        "peak": peak_rss_bytes(),
        "worker_peak": max(worker_peaks.values()),
        **summary.model_dump(),
    }


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Pairs of the reference job.")
@click.option("--large", default=100_000, show_default=True, help="Pairs of the large job.")
@click.option("--subjects-per-shard", default=16, show_default=True, help="With 4 pairs each.")
@json_option
def main(small: int, large: int, subjects_per_shard: int, path: Path | None) -> None:
    record = Record("driver_memory", path)
    record.add(conditions=f"{small:,} and {large:,} pairs in shards of {4 * subjects_per_shard}, one actor, stub stage")
    few, many = (in_fresh_process(drive, number, subjects_per_shard) for number in (small, large))
    for job in (few, many):
        names = ("shards", "accepted", "elapsed_s")
        figures = {f"{part}_mib": job[part] / MIB for part in ("before", "peak", "worker_peak")}
        record.add(**{f"{name}_{job['planned']}": value for name, value in figures.items()})
        record.add(**{f"{name}_{job['planned']}": job[name] for name in names})
    record.add(
        ratio=many["peak"] / few["peak"],
        worker_ratio=many["worker_peak"] / few["worker_peak"],
        ratio_of_what_was_added=(many["peak"] - many["before"]) / (few["peak"] - few["before"]),
        kib_per_additional_shard=(many["peak"] - few["peak"]) / (many["shards"] - few["shards"]) / 1024,
    )


if __name__ == "__main__":
    main()
