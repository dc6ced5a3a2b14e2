"""The ledger of a finished run, whole. What verdicts are made of lies in two files too, so that whoever decides anew
opens no shard: a million pairs have some ten thousand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import RunError
from toffee_pipeline.filters import SCORES
from toffee_pipeline.rundir.description import PairRun
from toffee_pipeline.rundir.layout import INDEX, INDEX_MANIFESTS, PACK_SHARDS, SUMMARY
from toffee_pipeline.rundir.manifests import Manifest, committed_shards, read_manifest
from toffee_pipeline.rundir.rows import read_ledger
from toffee_pipeline.rundir.run_file import decode
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.parquet import read_rows, sound, with_schema

READERS = 4
"""More of them wait for each other: most of the work on a small file is Python's."""
COLUMNS = (
    *("pair_id", "subject_id", "kind", "category", "class_name", "reversed_from", "status", "reason"),
    "subject_phash",
    *(score.column for score in SCORES),
)
SCHEMA = pa.schema([PAIRS.ledger.field(name) for name in COLUMNS])


class WholeLedger(NamedTuple):
    """Of a finished run: its manifests by shard number, to be read once, and `COLUMNS` of their rows, one shard's after
    the other's."""

    manifests: Iterable[Manifest]
    rows: pa.Table


def finished_shards(storage: Storage, run: PairRun) -> list[int]:
    """Numbers of all shards. Raises RunError where one is missing."""
    shards = sorted(committed_shards(storage))
    if len(shards) != run.num_shards:
        raise RunError(f"{storage.uri}: {len(shards)} of {run.num_shards} shards are committed; finish the run first")
    return shards


def write_index(storage: Storage, run: PairRun) -> Iterator[Manifest]:
    """Yields every manifest on the way; with the last one the index is there. Once every shard is committed, and before
    summary.json, with which it becomes valid. A few shards in memory."""
    with tempfile.TemporaryDirectory() as folder:
        ledger, manifests = Path(folder, "ledger"), Path(folder, "manifests")
        with pq.ParquetWriter(ledger, SCHEMA, compression="zstd") as writer, manifests.open("w") as lines:
            shards = _shards(storage, run)
            while block := list(islice(shards, PACK_SHARDS)):
                writer.write_table(pa.concat_tables(rows for _, rows in block))
                lines.writelines(f"{manifest.model_dump_json()}\n" for manifest, _ in block)
                yield from (manifest for manifest, _ in block)
        storage.put_file(INDEX, ledger)
        storage.put_file(INDEX_MANIFESTS, manifests)


def read_whole_ledger(storage: Storage, run: PairRun) -> WholeLedger:
    """By the index; where there is none, shard by shard.

    Raises RunError where a shard is missing, DamagedFile; else as `read_manifests`.
    """
    if storage.exists(SUMMARY) and storage.exists(INDEX):
        return read_index(storage, run.num_rows)
    manifests, tables = zip(*_shards(storage, run), strict=True)
    return WholeLedger(manifests, pa.concat_tables(tables).combine_chunks())


def read_index(storage: Storage, num_rows: int) -> WholeLedger:
    """num_rows: of the run. Raises MissingKey, DamagedFile; of a manifest when it is read."""
    name = storage.path_for(INDEX_MANIFESTS)
    lines = enumerate(storage.get(INDEX_MANIFESTS).splitlines(), 1)
    with sound(storage.path_for(INDEX)):
        parquet = pq.ParquetFile(pa.BufferReader(storage.get(INDEX)))
        rows = with_schema(read_rows(parquet, SCHEMA.names, num_rows), SCHEMA)
    return WholeLedger((decode(Manifest, line, f"{name}, line {n}") for n, line in lines), rows.combine_chunks())


def _shards(storage: Storage, run: PairRun) -> Iterator[tuple[Manifest, pa.Table]]:
    """Of every shard its manifest and the columns of its ledger."""
    shards = finished_shards(storage, run)

    def read(shard: int) -> tuple[Manifest, pa.Table]:
        manifest = read_manifest(storage, shard)
        return manifest, read_ledger(storage, manifest, run.table, COLUMNS)

    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(shards), PACK_SHARDS):
            yield from pool.map(read, shards[start : start + PACK_SHARDS])
