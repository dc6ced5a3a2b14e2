"""How long jobs/refilter.py takes over the ledger of a large run, and what memory that needs.

The run is one of manifests and ledgers alone, in shards as the profile sdxl makes them: nothing else is read. CPU
seconds are the firm figure on a shared machine.

Thresholds, near-duplicates and caps over 1,000,000 rows in 15,625 shards, on two cores that others kept busy (load 2 to
4): 7.2 to 9.8 CPU seconds in 9.1 to 17 s, peak 740 MiB. Most of it makes counts and manifests, shard by shard.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa

from benchmarks.fresh import in_fresh_process, peak_rss_bytes
from benchmarks.record import Record, json_option
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.rundir.counts import ShardCounts, Summary
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.index import write_index
from toffee_pipeline.rundir.layout import LEDGER, RUN, SUMMARY, manifest_key, shard_key
from toffee_pipeline.rundir.manifests import DataFile, Manifest
from toffee_pipeline.rundir.parquet import LEDGER_ROW_GROUP, to_parquet
from toffee_pipeline.rundir.refilter import refilter
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import open_storage

PER_SUBJECT, PER_SHARD = 4, 64
"""Pairs of a subject and of a shard, as in the profile sdxl."""
ATTEMPT = "0123456789ab"
SETTINGS = (
    "filter.min_clip=0.28",
    "min_subject_hash_distance=4",
    "max_per_subject=2",
    "max_per_class=fewest",
    "max_per_category=200000",
)


def write_run(folder: Path, num_pairs: int) -> None:
    """A run that has scored every pair, and rejected about half."""
    num_shards = num_pairs // PER_SHARD
    config = load_config("sdxl", ("output.keep=scored", f"pairs.count={num_shards * PER_SHARD}"))
    run = GenerationRun.now(
        "generate",
        config=config,
        plan_hash="0" * 16,
        num_rows=num_shards * PER_SHARD,
        num_shards=num_shards,
        roles={},
    )
    for name in (LEDGER, "_manifests"):
        (folder / name).mkdir(parents=True)
    (folder / RUN).write_bytes(run.encode())
    classes = np.array([each.name for each in load_catalog("toffee").classes], object)
    rng = np.random.default_rng(0)
    for shard in range(num_shards):
        rows = ledger_of(shard, classes, rng)
        data = to_parquet(rows, LEDGER_ROW_GROUP)
        file = DataFile(
            folder=LEDGER,
            key=shard_key(LEDGER, PAIRS.row, shard, ATTEMPT),
            size_bytes=len(data),
            num_rows=PER_SHARD,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        manifest = Manifest(
            shard=shard, attempt=ATTEMPT, committed=datetime.now(UTC), files=(file,), counts=counts_of(rows)
        )
        (folder / file.key).write_bytes(data)
        (folder / manifest_key(shard)).write_bytes(manifest.encode())
    storage = open_storage(str(folder))
    totals = Totals()
    for manifest in write_index(storage, run):
        totals.add(manifest.counts)
    write(storage, SUMMARY, Summary(**totals.counts().model_dump(), elapsed_s=1, pairs_per_s=1))


def ledger_of(shard: int, classes: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """The rows of a shard, with scores about the paper's thresholds."""
    pairs = np.arange(shard * PER_SHARD, (shard + 1) * PER_SHARD)
    subjects = pairs // PER_SUBJECT
    hashes = rng.integers(2**63, size=PER_SHARD // PER_SUBJECT)
    dino, clip = rng.normal(0.65, 0.1, PER_SHARD), rng.normal(0.31, 0.03, PER_SHARD)
    reason = np.full(PER_SHARD, None)
    reason[clip < 0.3] = "low_clip"
    reason[dino < 0.6] = "low_dino"
    columns: dict[str, Any] = {
        "pair_id": [f"p{number:09d}" for number in pairs],
        "subject_id": [f"s{number:08d}" for number in subjects],
        "kind": np.where(rng.random(PER_SHARD) < 0.33, "edit", "generation"),
        "category": np.array(CATEGORIES, object)[rng.integers(0, len(CATEGORIES), PER_SHARD)],
        "class_name": classes[subjects % len(classes)],
        "status": np.where(reason == None, "accepted", "rejected"),  # noqa: E711 (of each element)
        "reason": reason,
        "subject_phash": [f"{hashes[subject]:016x}" for subject in subjects - subjects[0]],
        "dino_score": dino,
        "clip_score": clip,
    }
    for field in PAIRS.ledger:
        if field.name not in columns and not field.nullable:
            text = pa.types.is_string(field.type)
            columns[field.name] = [f"{field.name} of pair {pair}" for pair in pairs] if text else pairs
    return pa.table([pa.array(columns.get(f.name, [None] * PER_SHARD), f.type) for f in PAIRS.ledger], PAIRS.ledger)


def counts_of(rows: pa.Table) -> ShardCounts:
    def by(column: str) -> dict[str, dict[str, int]]:
        return {name: {"planned": number} for name, number in count(column).items()}

    def count(column: str) -> dict[str, int]:
        return {each["values"]: each["counts"] for each in rows[column].drop_null().value_counts().to_pylist()}

    return ShardCounts(
        planned=len(rows),
        accepted=count("status").get("accepted", 0),
        rejected=count("reason"),
        by_kind=by("kind"),
        by_category=by("category"),
        by_class=by("class_name"),
    )


def measure(run: str, output: str) -> dict[str, float]:
    settings = load_config((), SETTINGS, RefilterConfig)
    before, began, used = peak_rss_bytes(), time.perf_counter(), time.process_time()
    refilter(open_storage(run), open_storage(output), settings, False, print)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "peak_gib": peak_rss_bytes() / 2**30,
        "added_gib": (peak_rss_bytes() - before) / 2**30,
    }


@click.command(help=__doc__)
@click.option("--pairs", default=1_000_000, show_default=True, help="Rows of the ledger.")
@json_option
def main(pairs: int, path: Path | None) -> None:
    record = Record("refilter", path)
    record.add(conditions=f"{pairs:,} rows in shards of {PER_SHARD}: thresholds, near-duplicates and caps")
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "run", pairs)
        record.add(**in_fresh_process(measure, f"{folder}/run", f"{folder}/view"))


if __name__ == "__main__":
    main()
