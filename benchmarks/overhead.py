"""Wall time of a job over the pure compute of its stages.

Reference: every shard goes through the stages in one process with one torch thread, without Ray and without writing;
a shard's compute is the sum of its stages' own seconds. Shard 0 is computed twice and counted the second time, so
that loading the models and first calls are outside. (A stage's seconds hold the PNG coding of its images; at 64 px that
is small beside the networks.)

Job: `jobs/generate.py` on Ray, placement fused, actors of one torch thread each, everything included: planning on the
workers, moving, encoding, writing and committing shards. A process and a Ray session of its own per number of actors,
in which a short job comes first: it gives the set-up time and leaves workers behind that have imported everything, so
that the writers of the second job keep up from its first shard on. The times are those of the manifests of the second
job: the clock runs from the commit with which every actor has done two shards to the last commit.

    ratio = steady wall time * actors / reference compute of the shards committed in that time

With 1 actor it is what Ray, planning and writing cost over one process that does nothing but compute; Ray's own
processes and the writers have the other cores to themselves, if there are any. With an actor on every core it holds
besides what the actors lose to each other and to those processes: memory bandwidth, caches, time on the cores.
"stages" is the part of the ratio that the stages themselves spend longer than the reference; ratio / stages is left
for the pipeline around them. Set-up, from the start of the first job to its first commit (starting Ray, importing,
loading the models, the first shard), is paid once per job, however large, and stands apart.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click

from actors.chain import StageChain, stages_of
from actors.executors.on_ray import logical_cpus
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import no_progress
from actors.write import count
from benchmarks.fresh import in_fresh_process
from benchmarks.record import Record, json_option
from jobs.generate import generate
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.on_ray.session import ray_session
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.layout import manifest_key
from toffee_pipeline.rundir.manifests import committed_shards, read_manifest
from toffee_pipeline.storage import open_storage

WARM_UP_SHARDS = 2
"""Of each actor: the first loads the models."""


def stage_s(counts: ShardCounts) -> float:
    """Seconds of all stages of one shard."""
    return sum(figures.seconds for figures in counts.stages.values())


def compute_s(config: RunConfig) -> list[float]:
    """Seconds of pure compute of each shard of the plan, in this process, warm, with one thread."""
    plan = Plan(config)
    chain = StageChain(config, list(stages_of(config).values()), no_progress, NoGuard(), num_threads=1)
    chain(Shard.from_plan(plan, 0))
    return [stage_s(count(chain(Shard.from_plan(plan, index)), config, num_bytes=0)) for index in range(len(plan))]


def run_jobs(short: RunConfig, full: RunConfig, folder: str) -> float:
    """Runs both jobs in one Ray session, into `folder`/short and `folder`/full; when it began (time.time())."""
    began = time.time()
    with ray_session(logical_cpus(full, stages_of(full))):
        generate(short, f"{folder}/short")
        generate(full, f"{folder}/full")
    return began


def commits(output: str) -> list[tuple[float, int]]:
    """(time of the commit, shard) of every committed shard, in the order of the commits."""
    shards = committed_shards(open_storage(output))
    return sorted((Path(output, manifest_key(shard)).stat().st_mtime, shard) for shard in shards)


def steady(commits: list[tuple[float, int]], num_actors: int) -> tuple[float, list[int]]:
    """Seconds from the commit with which every actor is warm to the last one, and the shards committed in between."""
    warm_up = WARM_UP_SHARDS * num_actors
    return commits[-1][0] - commits[warm_up - 1][0], [shard for _, shard in commits[warm_up:]]


def measure(config: RunConfig, num_actors: int, reference: list[float]) -> dict[str, float]:
    """One job with `num_actors` actors, against the reference seconds of each shard."""
    fused = config.fused.model_copy(update={"num_actors": num_actors})
    full = config.model_copy(update={"placement": "fused", "fused": fused})
    num_pairs = Plan(config).num_rows_of(0) * WARM_UP_SHARDS * num_actors
    short = full.with_count(num_pairs)
    with tempfile.TemporaryDirectory() as folder:
        began = in_fresh_process(run_jobs, short, full, folder)
        setup_s = commits(f"{folder}/short")[0][0] - began
        wall_s, shards = steady(commits(f"{folder}/full"), num_actors)
        storage = open_storage(f"{folder}/full")
        in_job_s = sum(stage_s(read_manifest(storage, shard).counts) for shard in shards)
    ideal_s = sum(reference[shard] for shard in shards)
    return {
        "shards": len(shards),
        "compute_s": ideal_s,
        "steady_s": wall_s,
        "ratio": wall_s * num_actors / ideal_s,
        "stages": in_job_s / ideal_s,
        "setup_s": setup_s,
    }


@click.command(help=__doc__)
@click.option("--pairs", default=208, show_default=True, help="Pairs of the job.")
@click.option("--actors", "most", type=int, help="Actors of the second job; default: one per core.")
@json_option
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the nano profile.")
def main(pairs: int, most: int | None, path: Path | None, overrides: tuple[str, ...]) -> None:
    # Ray's workers give way to all other processes by default; the reference does not
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    config = load_config("nano", (f"pairs.count={pairs}", *overrides))
    most = most or len(os.sched_getaffinity(0))
    if len(Plan(config)) <= WARM_UP_SHARDS * most:
        raise click.UsageError(f"{pairs} pairs are {len(Plan(config))} shards: too few for {most} actors")
    reference = in_fresh_process(compute_s, config)
    total = sum(reference)
    record = Record("overhead", path)
    record.add(conditions=f"{pairs} pairs at {config.size_px} px in {len(Plan(config))} shards, steady state")
    record.add(compute_s=total, compute_ms_per_pair=total / pairs * 1e3)
    for num_actors in sorted({1, most}):
        job = measure(config, num_actors, reference)
        record.add(**{f"{name}_{num_actors}": value for name, value in job.items()})


if __name__ == "__main__":
    main()
