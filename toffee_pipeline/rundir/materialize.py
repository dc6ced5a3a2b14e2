"""The files of a view that has its own: many small shards of a run become few, each a shard as any other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.rundir.commit import ShardFile, commit_shard, settle_all
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.layout import DATA, LEDGER, PACK_SHARDS, REJECTED
from toffee_pipeline.rundir.manifests import Manifest, committed_shards, read_manifest, read_manifests
from toffee_pipeline.rundir.parquet import LEDGER_ROW_GROUP, RowGroups, to_parquet
from toffee_pipeline.rundir.rows import files_of, read_accepted, read_ledger
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage

MAX_BYTES, MAX_ROWS = 256 * 2**20, 4096
"""Of the images, and of the ledger, of a shard that is made of several: whoever trains holds the images of one, and a
page of `jobs/browse.py` the ledger."""


def shards_together(storage: Storage) -> int:
    """How many shards of a run become one of a view with files of its own, by the sizes of its first ones: the same for
    every view of the run. Raises as `read_manifests`."""
    known = list(islice(read_manifests(storage), PACK_SHARDS))
    num_rows = [manifest.counts.planned for manifest in known]
    num_bytes = sum(file.size_bytes for manifest in known for file in files_of(manifest, DATA, REJECTED))
    most_rows = min(MAX_ROWS, MAX_BYTES * sum(num_rows) // max(1, num_bytes))
    return max(1, most_rows // max([1, *num_rows]))


def write_shards(target: Storage, shards: Iterable[Manifest], table: Table, together: int) -> Iterator[ShardCounts]:
    """Commit so many shards of a view as one, with their accepted rows and their ledgers; what is committed already is
    kept. In memory are a row group of the run and one for each file; on local disk, in a temporary folder, a shard.

    Yields the counts of each one. Raises as `read_accepted`, `read_ledger` and `commit_shard`.
    """
    settle_all(target)
    done = committed_shards(target)
    left = iter(shards)
    for shard in count():
        if not (some := list(islice(left, together))):
            return
        if shard in done:
            yield read_manifest(target, shard).counts
            continue
        with tempfile.TemporaryDirectory() as folder:
            files = _files(target, some, table, Path(folder))
            totals = Totals()
            for manifest in some:
                totals.add(manifest.counts)
            counts = totals.counts().model_copy(update={"num_bytes": sum(file.size_bytes for file in files)})
            commit_shard(target, shard, files, counts)
        yield counts


def _files(target: Storage, shards: Sequence[Manifest], table: Table, folder: Path) -> list[ShardFile]:
    writers: dict[str, RowGroups] = {}
    for manifest in shards:
        for _, rows in read_accepted(target, manifest, table):
            for name in table.files:
                chosen = rows.filter(pc.equal(rows["kind"], name))
                if chosen.num_rows:
                    if name not in writers:
                        writers[name] = RowGroups(folder / name, table.data, table.row_group_size)
                    writers[name].write(chosen)
    for writer in writers.values():
        writer.close()
    ledger = pa.concat_tables(read_ledger(target, manifest, table) for manifest in shards)
    return [
        *(ShardFile(DATA, name, folder / name, writers[name].num_rows) for name in table.files if name in writers),
        ShardFile(LEDGER, table.row, to_parquet(ledger, LEDGER_ROW_GROUP), ledger.num_rows),
    ]
