"""One pair as a run has stored it: what its rows say, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import DamagedFile, MissingKey, RunError
from toffee_pipeline.plan.plan import shard_of_pair
from toffee_pipeline.plan.refinement import RefinementPlan
from toffee_pipeline.rundir.description import PairRun, ViewRun
from toffee_pipeline.rundir.inputs import stored_plan
from toffee_pipeline.rundir.layout import LEDGER, manifest_key
from toffee_pipeline.rundir.manifests import read_manifest
from toffee_pipeline.rundir.pictures import ShardPictures
from toffee_pipeline.rundir.rows import files_of, read_ledger
from toffee_pipeline.rundir.run_file import complaint
from toffee_pipeline.schema.pairs import Pair, planned_from
from toffee_pipeline.schema.subjects import Subject
from toffee_pipeline.storage import Storage

PAIR, SUBJECT = TypeAdapter(Pair), TypeAdapter(Subject)


@dataclass(frozen=True)
class StoredPair:
    """shard: of the plan. row: of the ledger. addition: the row of the pair that it turns round. images: encoded, by
    column; without those that it never had."""

    shard: int
    row: dict[str, Any]
    addition: dict[str, Any] | None
    images: dict[str, bytes]


def read_pair(storage: Storage, run: PairRun, pair_id: str) -> StoredPair:
    """Reads the ledger of its shard, and of the pictures the row group that holds them.

    Raises:
        PlanError: the run has no such pair, or its list of given pairs is damaged.
        RunError: its shard is not committed, or no pictures of it are kept.
        DamagedFile, OtherVersion, OSError: as `read_manifest`.
    """
    shard = _shard_of(storage, run, pair_id)
    place = shard // run.shards_together if isinstance(run, ViewRun) else shard
    try:
        manifest = read_manifest(storage, place)
    except MissingKey as error:
        raise RunError(f"{pair_id}: its shard {place} of {storage.uri} is not committed yet") from error
    ledger = read_ledger(storage, manifest, run.table)
    if (row := _row(ledger, pair_id)) is None:
        raise DamagedFile(f"{storage.path_for(manifest_key(place))}: damaged: the ledger that it names lacks {pair_id}")
    if row["status"] == "failed":
        raise RunError(f"{pair_id} failed, so that there is nothing to compare with: {row['error']}")
    pictures = ShardPictures(storage, manifest, run.table).of(pair_id, run.table.images)
    images = {name: data for name, data in (pictures or {}).items() if data is not None}
    if not images:
        raise RunError(f"{pair_id} is {row['status']} ({row['reason']}), and the run keeps no pictures of such a pair")
    addition = _row(ledger, row["reversed_from"])
    _check(row, addition, storage.path_for(files_of(manifest, LEDGER)[0].key))
    return StoredPair(shard, row, addition, images)


def _check(row: dict[str, Any], addition: dict[str, Any] | None, name: str) -> None:
    """Raises DamagedFile where the row is none that a plan has: without a plan, little else is known of it."""
    planned = [planned_from(each) for each in (row, addition) if each is not None]
    for pair, subject in planned:
        try:
            PAIR.validate_python(vars(pair))
            SUBJECT.validate_python(vars(subject))
        except ValidationError as error:
            raise DamagedFile(f"{name}: damaged: {pair.pair_id}: {complaint(error)}") from error
    (pair, subject), *turned = planned
    if pair.reversed_from is None:
        return
    fits = [added.edited == "addition" and added.reversed_from is None and of == subject for added, of in turned]
    if pair.edited != "removal" or fits != [True]:
        raise DamagedFile(f"{name}: damaged: {pair.pair_id} turns round what is no addition to its subject")


def _row(ledger: pa.Table, pair_id: str | None) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = ledger.filter(
        pc.equal(ledger["pair_id"], pa.scalar(pair_id, pa.string()))
    ).to_pylist()
    return found[0] if found else None


def _shard_of(storage: Storage, run: PairRun, pair_id: str) -> int:
    if isinstance(run.config, RunConfig):
        return shard_of_pair(run.config, pair_id)
    return cast(RefinementPlan, stored_plan(storage, run.config)).shard_of_pair(pair_id)
