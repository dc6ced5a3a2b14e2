"""A run directory that explains itself: run.json at its start, summary.json at its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import MissingKey, NoRun, RunMismatch
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.commit import read_manifests
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.schema import SCHEMA_VERSION
from toffee_pipeline.storage import Storage

NO_CONTENT = {
    "placement",
    "fused",
    "device",
    "max_crashes",
    "max_failed_fraction",
    "stall_s",
    "price_per_gpu_hour",
    "output.endpoint_url",
    "output.lease_s",
    "output.report_every_s",
}
"""Settings that decide where and whether work is done and not what comes out."""


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def differing_keys(old: dict[str, Any], new: dict[str, Any], counts: Callable[[str], bool]) -> list[str]:
    """Dotted keys of two configs that differ, of those that `counts`."""
    flat, other = flatten(old), flatten(new)
    return sorted(key for key in flat.keys() | other.keys() if counts(key) and flat.get(key) != other.get(key))


def _is_content(key: str) -> bool:
    """Whether a setting can change a pixel or a verdict."""
    return not {key, key.split(".")[0]} & NO_CONTENT and key.rpartition(".")[2] not in (
        "num_actors",
        "num_cpus",
        "num_gpus",
        "timeout_s",
        "gpu_memory_gib",
        "seconds_per_pair",
    )


def claim(storage: Storage, run: dict[str, Any]) -> dict[str, Any]:
    """Writes run.json where there is none. Returns what is there: `run`, or what an earlier start wrote."""
    if not storage.exists("run.json") and storage.put_if_absent("run.json", json.dumps(run, indent=2).encode()):
        return run
    known: dict[str, Any] = json.loads(storage.get("run.json"))
    return known


def open_run(storage: Storage, config: RunConfig, plan: Plan, roles: dict[str, str]) -> dict[str, Any]:
    """Writes run.json, or checks that the one that is there belongs to the same content.

    Raises RunMismatch with the differing keys: a run directory holds one dataset.
    """
    run: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "plan_hash": plan.hash,
        "num_pairs": plan.num_pairs,
        "num_shards": len(plan),
        "roles": roles,
        "code_version": version("toffee-pipeline"),
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    known = claim(storage, run)
    different = differing_keys(known["config"], run["config"], _is_content)
    if not different and known["plan_hash"] != plan.hash:
        different = ["the plan's inputs (catalogue or image folder)"]
    if different:
        raise RunMismatch(f"{storage.uri} holds another run; it differs in: {', '.join(different)}")
    return known


def read_run(storage: Storage) -> dict[str, Any]:
    """run.json of a run of jobs/generate.py.

    Raises:
        NoRun: there is none, or it is of another kind of job or of another schema, or damaged.
        OSError: the store failed.
    """
    name = storage.path_for("run.json")
    try:
        run: dict[str, Any] = json.loads(storage.get("run.json"))
        if "plan_hash" not in run:
            raise NoRun(f"{name}: not of a run of jobs/generate.py")
        version = run["schema_version"]
        sound = all(isinstance(run[key], int) for key in ("num_pairs", "num_shards")) and isinstance(
            run["config"], dict
        )
    except MissingKey as error:
        raise NoRun(f"{name}: no such file; a run directory of jobs/generate.py is expected") from error
    except NoRun:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise NoRun(f"{name}: damaged: {error!r}") from error
    if version != SCHEMA_VERSION:
        raise NoRun(f"{name}: schema version {version}, this code reads {SCHEMA_VERSION}")
    if not sound:
        raise NoRun(f"{name}: damaged: its numbers of pairs and shards are none")
    return run


def total(storage: Storage) -> Totals:
    """Of all committed shards, one manifest at a time."""
    totals = Totals()
    for manifest in read_manifests(storage):
        totals.add(manifest["info"])
    return totals


def check_counts(summary: dict[str, Any], plan: Plan) -> None:
    """No pair lost, none twice: planned = accepted + rejected + failed, over every planned shard."""
    ended = summary["accepted"] + sum(summary["rejected"].values()) + summary["failed"]
    if not (summary["shards"] == len(plan) and summary["planned"] == ended == plan.num_pairs):
        raise RuntimeError(
            f"the counts do not add up: {plan.num_pairs} pairs in {len(plan)} shards planned; committed are "
            f"{summary['shards']} shards with {summary['planned']} pairs, of which {ended} ended"
        )
