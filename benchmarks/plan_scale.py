"""What a plan of millions of pairs costs, against a plan of thousands.

A shard is computed from its number alone, so nothing should grow with the plan. Printed for both plans: time to
construct it, time of one full shard (the first, the middle, the last and the median of 50 spread over the plan; best
of 3 each), and the peak memory of constructing the plan and walking over those shards: what Python allocated
(tracemalloc) and how far the process's peak RSS rose. Each plan is measured in a process of its own.

The ratios are large plan / small plan; 1 means that the size of the plan does not matter. "last / first" is the time
of the large plan's last shard over its first: 1 means that no shard waits for those before it.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np

from benchmarks.fresh import MIB, in_fresh_process, peak_rss_bytes
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.prompt_bank import load_prompts

NUM_SHARDS = 50
REPEATS = 3


def best_s(function: Callable[..., Any], *args: Any) -> float:
    """Seconds of the fastest of a few calls."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - began)
    return min(times)


def _plan(config: RunConfig) -> Plan:
    """With the prompt bank that the config names."""
    return Plan(config, None, load_prompts(config))


def measure(profile: str | Sequence[str], num_pairs: int) -> dict[str, float]:
    """Milliseconds and MiB of one plan. profile: as the sources of `load_config`."""
    config = load_config(profile, (f"pairs.count={num_pairs}",))
    rss = peak_rss_bytes()
    plan = _plan(config)
    num_full = max(1, num_pairs // plan.num_rows_of(0))
    indices = np.unique(np.linspace(0, num_full - 1, NUM_SHARDS).astype(int)).tolist()
    for index in indices:
        plan.shard(index)
    rss = peak_rss_bytes() - rss
    construct_s = best_s(_plan, config)
    shard_s = [best_s(plan.shard, index) for index in indices]
    tracemalloc.start()
    plan = _plan(config)
    for index in indices:
        plan.shard(index)
    _, allocated = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "construct ms": construct_s * 1e3,
        "shard ms: first": shard_s[0] * 1e3,
        "shard ms: middle": shard_s[len(shard_s) // 2] * 1e3,
        "shard ms: last": shard_s[-1] * 1e3,
        "shard ms: median": statistics.median(shard_s) * 1e3,
        "allocated peak MiB": allocated / MIB,
        "peak RSS rise MiB": rss / MIB,
    }


@click.command(help=__doc__)
@click.option("--profile", default="sdxl", show_default=True)
@click.option("--small", default=5_000, show_default=True, help="Pairs of the reference plan.")
@click.option("--large", default=5_000_000, show_default=True, help="Pairs of the large plan.")
def main(profile: str, small: int, large: int) -> None:
    few, many = (in_fresh_process(measure, profile, num_pairs) for num_pairs in (small, large))
    click.echo(f"{'pairs':<20}{small:>12,}{large:>12,}{'ratio':>10}")
    for name in few:
        click.echo(f"{name:<20}{few[name]:>12,.2f}{many[name]:>12,.2f}{many[name] / few[name]:>10.2f}")
    click.echo(f"last / first shard of the large plan: {many['shard ms: last'] / many['shard ms: first']:.2f}")


if __name__ == "__main__":
    main()
