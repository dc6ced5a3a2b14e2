"""What the driver of a run does: says what comes, computes the missing shards, follows them, finishes the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from actors.context import RunContext
from actors.executors import run
from actors.stage import StageTable
from toffee_pipeline.config.dataset import PACKAGED_PROMPT_BANKS, DatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.clock import clock
from toffee_pipeline.console.generation import GenerationDisplay
from toffee_pipeline.console.say import say
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.evaluation.conclude import conclude
from toffee_pipeline.on_ray.metrics import RayMetricSink
from toffee_pipeline.plan.catalog import PACKAGED
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.plan.readable import nothing_readable
from toffee_pipeline.plan.shards import ShardPlan
from toffee_pipeline.plan.subjects import SubjectPlan
from toffee_pipeline.report.live import LiveReport
from toffee_pipeline.report.page import REPORT, write_report
from toffee_pipeline.rundir.alike import find_alike, said_of_alike
from toffee_pipeline.rundir.card import CardWriter
from toffee_pipeline.rundir.commit import Orphans, settle_all
from toffee_pipeline.rundir.counts import RunCounts, Summary
from toffee_pipeline.rundir.description import DATASET_RUNS, DatasetRun, EvaluationRun, ImageDatasetRun, PairRun
from toffee_pipeline.rundir.failures import FailureLimit
from toffee_pipeline.rundir.index import write_index
from toffee_pipeline.rundir.layout import SUMMARY
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.manifests import committed_shards, read_manifests
from toffee_pipeline.rundir.publish import RunMetrics
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.rundir.savings import savings_of
from toffee_pipeline.rundir.shortfall import shortfalls
from toffee_pipeline.rundir.totals import Totals, total
from toffee_pipeline.storage import Storage

MAX_NAMED = 5
"""Most unreadable files, and classes below their quota, that are named at the end."""


def announce(plan: ShardPlan, roles: Mapping[str, str], dry_run: bool = False) -> None:
    """Says what a run would do, with whom, and what of the user's material is left out.

    Raises CatalogError where a prompt of the user's own catalogue or prompt bank does not fit the text encoder; a dry
    run says it as one of its lines.
    """
    row = DATASET_RUNS[plan.config.job].table.row
    rows = "" if row == "subject" else f"{plan.num_rows} {row}s of "
    placement = plan.config.placement
    say(f"{rows}{plan.num_subjects} subjects in {len(plan)} shards, placement {placement}, plan {plan.hash}")
    for note in (*plan.notes, *(_checked_prompts(plan, dry_run) if isinstance(plan, SubjectPlan) else ())):
        say(note, err=True)
    for role, source in roles.items():
        say(f"  {role}: {source}")


def _checked_prompts(plan: SubjectPlan, dry_run: bool) -> Sequence[str]:
    config = plan.config
    bank = config.pairs.prompt_bank if isinstance(config, RunConfig) else None
    if config.subjects.catalog in PACKAGED and (bank is None or bank in PACKAGED_PROMPT_BANKS):
        return ()
    from toffee_pipeline.models.prompts import check_prompts  # seconds that only prompts of one's own need cost

    try:
        return check_prompts(plan.catalog, config.models.sdxl, fetch=not dry_run)
    except CatalogError as error:
        if dry_run:
            return (f"{error}; no run starts with it",)
        raise


def missing_shards(storage: Storage, plan: ShardPlan) -> list[int]:
    """Planned shards without a manifest."""
    done = committed_shards(storage)
    return [index for index in range(len(plan)) if index not in done]


def compute(
    stages: StageTable, storage: Storage, config: DatasetConfig, plan: ShardPlan, known: DatasetRun, lease: Lease
) -> Summary:
    """Computes the missing shards and finishes the run.

    Args:
        known: run.json as it lies in `storage`.
        lease: held by the caller, and looked at after each shard.

    Raises:
        TooManyFailures: more pairs fail than the config allows.
        LeaseHeld: another driver took over.
        PlacementError: the cluster can never hold the stages.
        PlanError: not one of the user's own images could be read.
        OSError: the store failed.
    """
    settle_all(storage)
    missing = missing_shards(storage, plan)
    if done := len(plan) - len(missing):
        say(f"resuming: {done} of {len(plan)} shards are committed")
    totals = total(storage) if done else Totals()
    card = CardWriter(storage, known, totals.counts())
    sink = RayMetricSink(storage.uri)
    metrics = RunMetrics(sink, known, config.price_per_gpu_hour)
    metrics.show(totals)
    report = _live_report(storage, known, config.output.report_every_s)
    limit = FailureLimit(config.max_failed_fraction, known.table.row, plan.num_rows / plan.num_subjects)
    names = [name for name in stages if name in config.model_stages]
    began, num_rows = time.monotonic(), sum(plan.num_rows_of(index) for index in missing)
    with (
        GenerationDisplay(known.table.row, plan.num_rows, plan.num_rows - num_rows, names) as display,
        # closed also when the loop ends by an error, so that the actors end before the lease does
        closing(run(stages, RunContext(config, storage.uri, sink, totals, display.update, say), missing)) as shards,
    ):
        for counts in shards:
            display.add_shard(counts)
            totals.add(counts)
            limit.add(counts)
            lease.check()
            metrics.update(counts, totals)
            card.add(counts)
            if report:
                report.update(totals)
        limit.end()
    elapsed_s = time.monotonic() - began
    summary = _finish(storage, known, elapsed_s, num_rows / elapsed_s)
    _say(summary, storage, known)
    if isinstance(plan, SubjectPlan) and summary.planned == summary.rejected.get("unreadable"):
        raise nothing_readable(plan, summary.unreadable)
    return summary


def _live_report(storage: Storage, known: DatasetRun, every_s: float) -> LiveReport | None:
    """An evaluation has none: its figures are those of all pictures."""
    if not isinstance(known, ImageDatasetRun):
        return None
    return LiveReport(storage, known, every_s, lambda line: say(line, err=True))


def _finish(storage: Storage, known: DatasetRun, elapsed_s: float, pairs_per_s: float) -> Summary:
    """Checks that every planned row ended exactly once, and writes the report and, last of all, summary.json."""
    orphans, totals = Orphans(storage, known), Totals()
    # a large run's manifests take minutes on S3: they are read once
    for manifest in write_index(storage, known) if isinstance(known, PairRun) else read_manifests(storage):
        totals.add(manifest.counts)
        orphans.keep(manifest)
    counts = totals.counts()
    check_counts(counts, known)
    savings = savings_of(known.config, counts) if isinstance(known, PairRun) else {}
    summary = Summary(
        **counts.model_dump(),
        elapsed_s=elapsed_s,
        pairs_per_s=pairs_per_s,
        savings=savings,
        alike=find_alike(storage, known.config),
    )
    orphans.delete()  # every shard is committed, so that nothing unreferenced can become data any more
    if isinstance(known, ImageDatasetRun):
        write_report(storage, known, summary)
    elif isinstance(known, EvaluationRun):
        conclude(storage, known)
    write(storage, SUMMARY, summary)
    return summary


def check_counts(counts: RunCounts, known: DatasetRun) -> None:
    """No row lost, none twice: planned = accepted + rejected + failed, over every planned shard."""
    ended = counts.accepted + sum(counts.rejected.values()) + counts.failed
    if not (counts.shards == known.num_shards and counts.planned == ended == known.num_rows):
        raise RuntimeError(
            f"the counts do not add up: {known.num_rows} {known.table.row}s in {known.num_shards} shards planned; "
            f"committed are {counts.shards} shards with {counts.planned}, of which {ended} ended"
        )


def _say(summary: Summary, storage: Storage, known: DatasetRun) -> None:
    rejected = sum(summary.rejected.values())
    say(
        f"{summary.planned} planned = {summary.accepted} accepted + {rejected} rejected + "
        f"{summary.failed} failed, in {clock(summary.elapsed_s)}"
    )
    for gate, saving in summary.savings.items():
        gpu = f", {saving.gpu_seconds:,.0f} GPU seconds" if saving.gpu_seconds else ""
        say(f"  {gate} stopped {saving.stopped} pairs early and saved about {saving.seconds:,.0f} s{gpu}")
    if summary.alike and summary.alike.alike:
        say(f"  {said_of_alike(summary.alike)}", err=True)
    for why, number in summary.unsafe.items():
        say(f"  {number} rejected as unsafe by {why}", err=True)
    for message, number in summary.errors.items():
        say(f"  {number} failed: {message}", err=True)
    if unreadable := summary.unreadable:
        count = len(unreadable)
        least, names = ("", "all") if summary.names_all_unreadable else ("at least ", f"{count}, the ledger all")
        say(f"  {summary.rejected['unreadable']} rejected: {least}{count} files cannot be read", err=True)
        for path, why in list(unreadable.items())[:MAX_NAMED]:
            say(f"    {one_line(path)}: {why}", err=True)
        if (more := count - MAX_NAMED) > 0:
            say(f"    and {least}{more} more: {storage.path_for(SUMMARY)} names {names}", err=True)
    quota = known.config.min_class_yield if isinstance(known, ImageDatasetRun) else None
    if below := shortfalls(summary, quota):
        say(f"  {len(below)} of {len(summary.by_class)} classes have less than min_class_yield={quota:g}:", err=True)
        for short in below[:MAX_NAMED]:
            named = f"{one_line(short.class_name)}: {short.accepted} of {short.planned} accepted"
            say(f"    {named}, mostly {short.reason}", err=True)
        if (left := len(below) - MAX_NAMED) > 0:
            say(f"    and {left} more: {storage.path_for(REPORT)} names all", err=True)
    say(f"dataset: {storage.path_for('data')}")
    say(f"report: {storage.path_for(REPORT)}")
