"""Re-reads a whole run directory and holds it against its plan and its manifests, one file in memory at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import ValidationError

from toffee_pipeline.config.explain import explain
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import MissingKey, NoRun
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.commit import committed_shards, delete_orphans, manifest_key, shard_files
from toffee_pipeline.rundir.description import read_run
from toffee_pipeline.rundir.lease import Lease, current_holder
from toffee_pipeline.rundir.verify_shard import Problem, ShardCheck, Tally
from toffee_pipeline.storage import Storage


@dataclass
class Report:
    """What was checked, what is wrong, and what a repair did."""

    tally: Tally = field(default_factory=Tally)
    problems: list[Problem] = field(default_factory=list)
    holder: str | None = None
    """The driver that works here at this moment: then missing shards and orphans may be its work."""
    repaired: bool = False

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
        PlanError, CatalogError: the plan cannot be made here, for instance without the run's folder of images.
        OSError: the store failed; that says nothing about the run.
    """
    return _verify(storage, current_holder(storage))


def _verify(storage: Storage, holder: str | None) -> Report:
    config, plan = _open(storage)
    report = Report(holder=holder)
    files = shard_files(storage)  # before the manifests: what a run commits in between is then no orphan
    committed = committed_shards(storage)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        check = ShardCheck(storage, config, pool, report.tally)
        for shard in range(len(plan)):
            if shard in committed:
                report.problems += check(shard, *plan.shard(shard))
            else:
                report.problems.append(Problem("missing", manifest_key(shard), "not there, not committed", shard))
    for shard in sorted(committed - set(range(len(plan)))):
        report.problems.append(Problem("manifest", manifest_key(shard), f"the plan has {len(plan)} shards", shard))
    # which files a damaged manifest named is not known: they go with its shard
    unknown = {f"{shard:06d}" for shard in report.shards("manifest")}
    for key in sorted(set(files) - report.tally.named):
        if key.split("-")[1] not in unknown:
            report.problems.append(Problem("orphan", key, "no manifest names it: left by a try that died"))
    for key in storage.temporary():
        report.problems.append(Problem("orphan", key, "half written: left by a try that died"))
    report.tally.checked.update({"missing": len(plan), "orphan": len(files)})
    report.problems += _check_summary(storage, report)
    return report


def repair(storage: Storage, say: Callable[[str], None] = print) -> Report:
    """`verify`, then delete orphans and un-commit every damaged shard: its manifest first, then its files.

    Starting the run again computes just those shards. Raises `LeaseHeld` while a driver works here, and what `verify`
    raises; then nothing is deleted.
    """
    with Lease(storage, say=say) as lease:
        report = _verify(storage, holder=None)
        lease.check()
        for shard in report.damaged:
            storage.delete(manifest_key(shard))
        delete_orphans(storage)  # without a manifest, the files of damaged shards are orphans too
        if report.damaged or report.count("summary"):
            storage.delete("summary.json")  # the next start writes it anew
        report.repaired = True
    return report


def _open(storage: Storage) -> tuple[RunConfig, Plan]:
    name, run = storage.path_for("run.json"), read_run(storage)
    try:
        config = RunConfig.model_validate(run["config"])
    except ValidationError as error:
        raise NoRun(f"{name}: this code does not read its config: {explain(error, RunConfig)}") from error
    plan = Plan(config)
    if (run["plan_hash"], run["num_pairs"], run["num_shards"]) != (plan.hash, plan.num_pairs, len(plan)):
        raise NoRun(
            f"{name}: plan {run['plan_hash']}, but its config makes plan {plan.hash} here; check the run with the "
            "version, the catalogue and the folder of images that it was made with"
        )
    return config, plan


def _check_summary(storage: Storage, report: Report) -> list[Problem]:
    if report.shards() or report.holder:
        return []  # it is written when all shards are there
    report.tally.checked["summary"] += 1
    try:
        summary = json.loads(storage.get("summary.json"))
        said = {key: summary[key] for key in ("planned", "accepted", "failed")}
        said |= {f"rejected: {reason}": number for reason, number in summary["rejected"].items()}
    except MissingKey:
        return [Problem("summary", "summary.json", "not there, but every shard is: start the run again to finish it")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [Problem("summary", "summary.json", f"damaged: {error!r}")]
    counted = report.tally.outcomes
    if different := sorted(key for key in said.keys() | counted.keys() if said.get(key, 0) != counted[key]):
        return [Problem("summary", "summary.json", f"differs from the ledger in: {', '.join(different)}")]
    return []
