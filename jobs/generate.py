"""Generates a dataset: plan, pair, shard, run. Running the same command again computes only what is missing."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import time
from contextlib import closing

import click

from actors.chain import STAGE_CLASSES
from actors.context import RunContext
from actors.executors import run
from actors.stage import StageTable
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.clock import clock
from toffee_pipeline.console.generation import GenerationDisplay
from toffee_pipeline.console.options import Job, job_options
from toffee_pipeline.models.roles import describe_roles, require_weights
from toffee_pipeline.on_ray.metrics import RayMetricSink
from toffee_pipeline.on_ray.session import refuse_relative_output
from toffee_pipeline.plan.catalog import PACKAGED
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.report.live import LiveReport
from toffee_pipeline.report.page import REPORT, write_report
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.commit import committed_shards, delete_orphans
from toffee_pipeline.rundir.counts import RunCounts, Summary
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.failures import FailureLimit
from toffee_pipeline.rundir.inputs import claim_generation
from toffee_pipeline.rundir.layout import SUMMARY
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.publish import RunMetrics
from toffee_pipeline.rundir.run_file import read, write
from toffee_pipeline.rundir.totals import Totals, total
from toffee_pipeline.storage import Storage, open_storage


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano")
def main(config: RunConfig, output: str, dry_run: bool) -> None:
    generate(config, output, dry_run)


def generate(
    config: RunConfig, output: str, dry_run: bool = False, stages: StageTable = STAGE_CLASSES
) -> Summary | None:
    """The whole job. Returns the summary; None after a dry run."""
    if not dry_run:
        require_weights(config)
    plan, roles = Plan(config), describe_roles(config)
    refuse_relative_output(output)
    storage = open_storage(output, config.output.endpoint_url)
    click.echo(
        f"{plan.num_pairs} pairs of {plan.num_subjects} subjects in {len(plan)} shards, "
        f"placement {config.placement}, plan {plan.hash}"
    )
    notes = plan.notes
    if config.subjects.catalog not in PACKAGED:
        from toffee_pipeline.models.prompts import check_prompts  # seconds that only a catalogue of one's own need cost

        notes += check_prompts(plan.catalog, config.models.sdxl)
    for note in notes:
        click.echo(note, err=True)
    for role, source in roles.items():
        click.echo(f"  {role}: {source}")
    if dry_run:
        return None
    known = claim_generation(storage, GenerationRun.of(config, plan, roles), plan)
    if storage.exists(SUMMARY) and not _missing(storage, plan):
        click.echo(f"nothing to do: all {len(plan)} shards of {storage.uri} are committed")
        return read(storage, SUMMARY, Summary)
    with at_work(storage, click.echo, lambda: "what is committed stays", config.output.lease_s) as lease:
        return _compute(storage, config, plan, known, lease, stages)


def _missing(storage: Storage, plan: Plan) -> list[int]:
    done = committed_shards(storage)
    return [index for index in range(len(plan)) if index not in done]


def _compute(
    storage: Storage, config: RunConfig, plan: Plan, known: GenerationRun, lease: Lease, stages: StageTable
) -> Summary:
    """Computes the missing shards and finishes the run. Returns the summary."""
    missing = _missing(storage, plan)
    if done := len(plan) - len(missing):
        click.echo(f"resuming: {done} of {len(plan)} shards are committed")
    totals = total(storage) if done else Totals()
    sink = RayMetricSink(storage.uri)
    metrics = RunMetrics(sink, known, config.price_per_gpu_hour)
    metrics.show(totals)
    report = LiveReport(storage, known, config.output.report_every_s, lambda line: click.echo(line, err=True))
    began = time.monotonic()
    computed = sum(plan.num_pairs_of(index) for index in missing)
    limit = FailureLimit(config.max_failed_fraction)
    with (
        GenerationDisplay(plan.num_pairs, plan.num_pairs - computed) as display,
        # closed also when the loop ends by an error, so that the actors end before the lease does
        closing(
            run(stages, RunContext(config, storage.uri, sink, totals, display.update, click.echo), missing)
        ) as shards,
    ):
        for counts in shards:
            display.add_shard(counts)
            totals.add(counts)
            limit.add(counts)
            lease.check()
            metrics.update(counts, totals)
            report.update(totals)
    elapsed = time.monotonic() - began
    summary = finish(storage, known, elapsed, computed / elapsed)
    rejected = sum(summary.rejected.values())
    click.echo(
        f"{summary.planned} planned = {summary.accepted} accepted + {rejected} rejected + "
        f"{summary.failed} failed, in {clock(elapsed)}"
    )
    for message, number in summary.errors.items():
        click.echo(f"  {number} failed: {message}", err=True)
    click.echo(f"dataset: {storage.path_for('data')}")
    click.echo(f"report: {storage.path_for(REPORT)}")
    return summary


def finish(storage: Storage, run: GenerationRun, elapsed_s: float, pairs_per_s: float) -> Summary:
    """Checks that every planned pair ended exactly once, and writes the report and, last of all, summary.json."""
    counts = total(storage).counts()
    check_counts(counts, run)
    summary = Summary(**counts.model_dump(), elapsed_s=elapsed_s, pairs_per_s=pairs_per_s)
    delete_orphans(storage, run)  # every shard is committed, so that nothing unreferenced can become data any more
    write_report(storage, run, summary)
    write(storage, SUMMARY, summary)
    return summary


def check_counts(counts: RunCounts, run: GenerationRun) -> None:
    """No pair lost, none twice: planned = accepted + rejected + failed, over every planned shard."""
    ended = counts.accepted + sum(counts.rejected.values()) + counts.failed
    if not (counts.shards == run.num_shards and counts.planned == ended == run.num_pairs):
        raise RuntimeError(
            f"the counts do not add up: {run.num_pairs} pairs in {run.num_shards} shards planned; committed are "
            f"{counts.shards} shards with {counts.planned} pairs, of which {ended} ended"
        )


if __name__ == "__main__":
    main()
