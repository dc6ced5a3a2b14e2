"""Re-reads a whole run directory and holds it against its plan and its manifests, one file in memory at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from toffee_pipeline.errors import DamagedFile, MissingKey, NoRun, RunError
from toffee_pipeline.plan.shards import MAX_SHARD_ROWS, ShardPlan
from toffee_pipeline.rundir.commit import delete_orphans, settle_all, shard_files
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.description import DatasetRun, ViewRun, read_run
from toffee_pipeline.rundir.findings import Problem, Tally, outcomes
from toffee_pipeline.rundir.index import read_index
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.rundir.layout import INDEX, RUN, SUMMARY, manifest_key
from toffee_pipeline.rundir.lease import Lease, current_holder
from toffee_pipeline.rundir.manifests import committed_shards, shard_of
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.rundir.verify_shard import ShardCheck
from toffee_pipeline.storage import Storage


@dataclass
class Report:
    """What was checked, what is wrong, and what a repair did."""

    run: DatasetRun
    tally: Tally = field(default_factory=Tally)
    problems: list[Problem] = field(default_factory=list)
    holder: str | None = None
    """The driver that works here at this moment: then missing shards and orphans may be its work."""
    repaired: bool = False
    retaken: list[int] = field(default_factory=list)
    """Sound shards that a repair took back since rows in them had failed."""

    def shards(self, *kinds: str) -> list[int]:
        """Shards with a problem of one of these kinds, or with any that computing them again mends."""
        chosen = (p.shard for p in self.problems if p.shard is not None and (not kinds or p.kind in kinds))
        return sorted(set(chosen))

    @property
    def missing(self) -> list[int]:
        return self.shards("missing")

    @property
    def damaged(self) -> list[int]:
        return sorted(set(self.shards()) - set(self.missing))

    def count(self, kind: str) -> int:
        return sum(problem.kind == kind for problem in self.problems)


def verify(storage: Storage) -> Report:
    """Check everything.

    Raises:
        NoRun: no run.json, or one whose plan this code cannot make again.
        OtherVersion: the run is of another layout or schema.
        DamagedFile: it cannot be understood, or puts more rows into a shard than one may have.
        PlanError, CatalogError: the plan cannot be made here, for instance without the run's own catalogue.
        OSError: the store failed; that says nothing about the run.
    """
    run = read_run(storage)
    return _verify(storage, run, current_holder(storage))


def _verify(storage: Storage, run: DatasetRun, holder: str | None) -> Report:
    together = run.shards_together if isinstance(run, ViewRun) else 1
    plan = _plan_of(storage, run, together)
    report = Report(run, holder=holder)
    files = shard_files(storage)  # before the manifests: what a run commits in between is then no orphan
    committed = committed_shards(storage)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        check = ShardCheck(storage, run, pool, report.tally)
        for shard in range(run.num_shards):
            if shard in committed:
                planned = range(len(plan))[shard * together : (shard + 1) * together]
                report.problems += check(shard, [row for number in planned for row in plan.rows(number)])
            else:
                report.problems.append(Problem("missing", manifest_key(shard), "not there, not committed", shard))
    for shard in sorted(committed - set(range(run.num_shards))):
        report.problems.append(Problem("manifest", manifest_key(shard), f"the plan has {run.num_shards} shards", shard))
    # which files a damaged manifest named is not known: they go with its shard
    unknown = report.shards("manifest")
    for key in sorted(set(files) - report.tally.named):
        if shard_of(key) not in unknown:
            report.problems.append(Problem("orphan", key, "no manifest names it: left by a try that died"))
    for key in storage.temporary():
        report.problems.append(Problem("orphan", key, "half written: left by a try that died"))
    report.tally.checked.update({"missing": run.num_shards, "orphan": len(files)})
    report.problems += _check_summary(storage, report, run.num_rows)
    return report


def repair(storage: Storage, say: Callable[[str], None] = print, failed: bool = False) -> Report:
    """`verify`, then delete orphans and un-commit every damaged shard: summary.json goes first, its files last.

    Starting the run again computes just those shards. Raises `LeaseHeld` while a driver works here, and what `verify`
    raises; then nothing is deleted. Raises RunError for a view without files of its own.

    failed: also those in which rows failed; RunError for a view, whose rows are its run's.
    """
    run = read_run(storage)
    if failed and isinstance(run, ViewRun):
        raise RunError(f"{storage.uri}: a view computes no pairs: repair {run.source}, and make the view again")
    if isinstance(run, ViewRun) and not run.materialized:
        raise RunError(f"{storage.uri}: a view has no files to repair: repair {run.source}, and make the view again")
    with Lease(storage, say=say) as lease:
        settle_all(storage)
        report = _verify(storage, run, holder=None)
        lease.check()
        if failed:
            report.retaken = sorted(set(report.tally.with_failed) - set(report.damaged))
        if report.damaged or report.retaken or report.count("summary"):
            # first: with it an index of shards that are gone would count, if this is killed; the next start writes it
            storage.delete(SUMMARY)
        for shard in (*report.damaged, *report.retaken):
            storage.delete(manifest_key(shard))
        delete_orphans(storage, run)  # without a manifest, the files of these shards are orphans too
        report.repaired = True
    return report


def _plan_of(storage: Storage, run: DatasetRun, together: int) -> ShardPlan:
    """together: its shards in one of the run, whose rows are all held at once."""
    plan = stored_plan(storage, run.config)
    if together > 1 and plan.num_rows_of(0) * together > MAX_SHARD_ROWS:
        raise DamagedFile(
            f"{storage.path_for(RUN)}: damaged: shards_together: {together} of {plan.num_rows_of(0)} rows, allowed are "
            f"{MAX_SHARD_ROWS} rows"
        )
    if (run.plan_hash, run.num_rows, run.num_shards) != (plan.hash, plan.num_rows, -(-len(plan) // together)):
        raise NoRun(
            f"{storage.path_for(RUN)}: plan {run.plan_hash}, but its config makes plan {plan.hash} here; check the run "
            "with the version and the catalogue that it was made with"
        )
    return plan


def _check_summary(storage: Storage, report: Report, num_rows: int) -> list[Problem]:
    if report.shards() or report.holder:
        return []  # it is written when all shards are there
    report.tally.checked["summary"] += 1
    try:
        summary = read(storage, SUMMARY, Summary)
    except MissingKey:
        return [Problem("summary", SUMMARY, "not there, but every shard is: start the run again to finish it")]
    except DamagedFile as error:
        return [Problem("summary", SUMMARY, str(error).removeprefix(f"{storage.path_for(SUMMARY)}: "))]
    said, counted = outcomes(summary), report.tally.outcomes
    if different := sorted(key for key in said.keys() | counted.keys() if said[key] != counted[key]):
        return [Problem("summary", SUMMARY, f"differs from the ledger in: {', '.join(different)}")]
    return _check_index(storage, report, num_rows) if storage.exists(INDEX) else []


def _check_index(storage: Storage, report: Report, num_rows: int) -> list[Problem]:
    try:
        manifests, rows = read_index(storage, num_rows)
        named = {file.key for manifest in manifests for file in manifest.files}
    except (DamagedFile, MissingKey) as error:
        return [Problem("summary", INDEX, str(error).removeprefix(f"{storage.path_for(INDEX)}: "))]
    counted = Counter({"planned": len(rows)})
    for group in rows.group_by(["status", "reason"]).aggregate([([], "count_all")]).to_pylist():
        rejected = group["status"] == "rejected"
        counted[f"rejected: {group['reason']}" if rejected else group["status"]] += group["count_all"]
    if counted != report.tally.outcomes or named != report.tally.named:
        return [Problem("summary", INDEX, "differs from the shards: start the run again to write it anew")]
    return []
