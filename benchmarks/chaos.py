"""A job whose processes are killed at random, against the same job left alone: same dataset, hardly more work.

The job is `jobs/generate.py` on Ray, placement fused. Kill k comes a random time after k / (kills + 2) of the shards
are committed, and hits one process by SIGKILL, drawn first by its kind and then among its like. An actor is
waited for; where there is none of another kind, the kind is drawn again:

    driver    the job's own process
    actor     one that runs the stages
    worker    another of Ray's workers: it reads, writes, holds the crash record, or idles
    raylet    the node's manager, whose workers go with it
    gcs       the cluster's store
    helper    another process of Ray: dashboard agents, monitors
    cluster   all of them at once

With `--store s3` the run lies on an S3 server (moto, or the one that TOFFEE_TEST_S3_ENDPOINT names) behind a proxy, by
which the store is away at random times among the kills: every request is refused, or every connection broken.

Whenever the job ends before its run is complete it is started again by the same command. At the end:

    digests    of every pair's verdict and image bytes, equal to those of the job left alone
    work       seconds of all micro-batches of all tries, less those of tries that a kill hit, over those of the job
               left alone: 1.05 passes. A try is lost to a kill if it was under way or not yet committed when it came.
               Seconds mean something only where the stages need not share their cores with what a kill makes Ray do:
               by default there is an actor for each two cores. The same in rows of micro-batches, which nothing else
               on the machine disturbs, and in the actors' CPU seconds. With `--stub`, a stage without models that
               sleeps, rows alone count.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks.chaos_log import Try, read_tries, work
from benchmarks.chaos_run import Job, Store, disturb, outages
from tests.helpers.faulty_s3 import faulty_s3
from tests.helpers.s3 import BUCKET, CREDENTIALS, make_bucket, s3_server
from toffee_pipeline.on_ray.session import num_cores

BAR = 1.05


@click.command(help=__doc__)
@click.option("--kills", default=30, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the kills.")
@click.option("--pairs", default=256, show_default=True, help="In shards of 4.")
@click.option("--max-delay-s", default=8.0, show_default=True, help="Longest wait before a kill that is due.")
@click.option("--store", "kind", type=click.Choice(["local", "s3"]), default="local", show_default=True)
@click.option("--max-outage-s", default=20.0, show_default=True, help="Of the S3 server, longest.")
@click.option("--stub", is_flag=True, help="A stage without models that sleeps, in the place of nano's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the nano profile.")
def main(
    kills: int,
    seed: int,
    pairs: int,
    max_delay_s: float,
    kind: str,
    max_outage_s: float,
    stub: bool,
    overrides: tuple[str, ...],
) -> None:
    num_shards = -(-pairs // 4)
    if num_shards < kills + 2:
        raise click.UsageError(f"{pairs} pairs are {num_shards} shards: too few for {kills} kills")
    actors = max(1, num_cores() // 2)
    own = [f"pairs.count={pairs}", "subjects_per_shard=1", "placement=fused", f"fused.num_actors={actors}", *overrides]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True))
        store, proxy = Store(folder), None
        if kind == "s3":
            os.environ.update(CREDENTIALS)
            server = stack.enter_context(s3_server())
            make_bucket(server)
            proxy = stack.enter_context(faulty_s3(server))
            store = Store(f"s3://{BUCKET}/{Path(folder).name}", proxy.endpoint, server)
        stages = "stub" if stub else "nano"
        alone, job = (Job(Path(folder, name), store, stages, own) for name in "ab")
        began = time.monotonic()
        disturb(alone, 0, num_shards, 0, random.Random(0))
        middle = time.monotonic()
        with ExitStack() as away:
            lasted = away.enter_context(outages(proxy, max_outage_s, random.Random(seed))) if proxy else []
            struck = disturb(job, kills, num_shards, max_delay_s, random.Random(seed))
        elapsed = time.monotonic() - middle
        tries, reference = read_tries(job.log), read_tries(alone.log)
        if proxy:
            click.echo(f"outages of the store: {len(lasted)}, {sum(lasted):.0f} s together")
        click.echo(f"wall time: {middle - began:.0f} s left alone, {elapsed:.0f} s with kills")
        report(alone, job, struck, tries, reference, ["rows"] if stub else ["seconds", "rows"])


def report(
    alone: Job,
    job: Job,
    struck: list[tuple[float, str]],
    tries: list[Try],
    reference: list[Try],
    judged: list[str],
) -> None:
    """The table; exits with 1 where a bar is missed. judged: the units that the bar is for."""
    hit = Counter(kind for _, kind in struck)
    click.echo(f"kills: {len(struck)} ({', '.join(f'{number} {kind}' for kind, number in sorted(hit.items()))})")
    click.echo(f"starts of the job: {job.starts}")
    expected, found = alone.digests(), job.digests()
    equal = sum(found.get(pair) == digest for pair, digest in expected.items())
    click.echo(f"pairs: {len(expected)} left alone, {len(found)} with kills; equal digests: {equal}")
    needed = work(reference, {}, [])
    done = work(tries, job.committed(), [moment for moment, _ in struck])
    click.echo(f"{'':>11}{'alone':>12}{'with kills':>12}{'lost to kills':>15}{'ratio':>8}")
    ratios = {}
    for unit in ("seconds", "cpu_seconds", "rows", "tries"):
        total, lost = getattr(done.total, unit), getattr(done.lost, unit)
        ratios[unit] = (total - lost) / (getattr(needed.total, unit) or 1)
        click.echo(f"{unit:>11}{getattr(needed.total, unit):>12.1f}{total:>12.1f}{lost:>15.1f}{ratios[unit]:>8.3f}")
    click.echo(f"bar: {BAR:.2f}; most tries lost to one kill: {done.most_lost}")
    if found != expected or max(ratios[unit] for unit in judged) > BAR:
        sys.exit(1)


if __name__ == "__main__":
    main()
