"""Writes a view of a run: manifests alone, or files of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pyarrow.compute as pc

from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.plan.names import some
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.card import CardWriter
from toffee_pipeline.rundir.commit import delete_orphans
from toffee_pipeline.rundir.counts import ShardCounts, Summary
from toffee_pipeline.rundir.description import ViewRun, claim, read_pairs
from toffee_pipeline.rundir.index import finished_shards, read_whole_ledger
from toffee_pipeline.rundir.inputs import list_keys
from toffee_pipeline.rundir.layout import PACK_SHARDS, SUMMARY, pack_key
from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.rundir.materialize import shards_together, write_shards
from toffee_pipeline.rundir.recut import recut
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.rundir.view import shards_of_view
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES


def refilter(
    source: Storage,
    target: Storage,
    settings: RefilterConfig,
    materialize: bool,
    say: Callable[[str], None],
) -> None:
    """The whole job. Where the view was begun before, it writes what is missing.

    Args:
        source: of the run. Its ledger alone is read, and images where the view is materialized.
        materialize: give the view files of its own.
        say: gets what came out, and which pairs lack their images.

    Raises:
        ConfigError: a threshold of a score that the run does not have.
        RunError: the run goes on.
        RunMismatch: the target holds another view; NoRun and others as `read_run`.
    """
    run = read_pairs(source)
    finished_shards(source, run)
    known = claim(target, ViewRun.of_run(run, source.uri, settings, shards_together(source) if materialize else None))
    if target.exists(SUMMARY):
        say(f"nothing to do: {target.uri} holds this view")
        return
    with at_work(target, say, lambda: "what is written stays"):
        began = time.monotonic()
        for key in list_keys(run.config):
            _copy(key, source, target)
        card = CardWriter(target, known, ShardCounts())
        ledger = read_whole_ledger(source, run)
        cut = recut(ledger.rows, run.config, settings)
        shards = shards_of_view(ledger, cut, source.uri)
        totals = Totals()
        together = known.shards_together
        for counts in write_shards(target, shards, run.table, together) if materialize else _packed(target, shards):
            totals.add(counts)
            if materialize:
                card.add(counts)
        if materialize:
            delete_orphans(target, known)
        elapsed_s = time.monotonic() - began
        counted = totals.counts()
        summary = Summary(**counted.model_dump(), elapsed_s=elapsed_s, pairs_per_s=counted.planned / elapsed_s)
        write(target, SUMMARY, summary)
    before = pc.sum(pc.equal(ledger.rows["status"], "accepted")).as_py()
    say(
        f"{summary.planned} planned = {summary.accepted} accepted ({before} before) + "
        f"{sum(summary.rejected.values())} rejected + {summary.failed} failed"
    )
    if lost := cut.filter(pc.equal(cut["reason"], "not_kept"))["pair_id"].to_pylist():
        say(
            f"{len(lost)} pairs would be accepted too, but the run did not keep their images "
            f"(output.keep={run.config.output.keep}): {some(lost)}"
        )


def _copy(key: str, source: Storage, target: Storage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list")
        source.get_file(key, path, MAX_MAPPED_BYTES)
        target.put_file(key, path)


def _packed(target: Storage, shards: Iterable[Manifest]) -> Iterator[ShardCounts]:
    """Write the manifests, many to a file: a million pairs have some ten thousand, and a file each takes its time."""
    known = iter(shards)
    with ThreadPoolExecutor(1) as writer:  # writes one pack while the next is made
        written: Future[None] | None = None
        while pack := list(islice(known, PACK_SHARDS)):
            data = "\n".join(manifest.model_dump_json() for manifest in pack).encode()
            if written:
                written.result()
            written = writer.submit(target.put, pack_key(pack[0].shard // PACK_SHARDS, len(pack)), data)
            yield from (manifest.counts for manifest in pack)
        if written:
            written.result()
