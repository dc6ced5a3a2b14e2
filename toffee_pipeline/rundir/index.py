"""The ledger of a finished run, whole. What verdicts are made of lies in two files too, so that whoever decides anew
opens no shard: a million pairs have some ten thousand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import RunError
from toffee_pipeline.filters import SCORES
from toffee_pipeline.parquet_file import ParquetFile, read_rows, sound, with_schema
from toffee_pipeline.rundir.description import PairRun
from toffee_pipeline.rundir.layout import INDEX, INDEX_MANIFESTS, SUMMARY
from toffee_pipeline.rundir.manifests import Manifest, committed_shards, manifests_of, read_manifests
from toffee_pipeline.rundir.rows import read_ledgers
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.table import ROW_GROUP_BYTES
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES

READERS = 4
"""More of them wait for each other: most of the work on a small file is Python's."""
BLOCK_SHARDS = 32
"""Of a row group of the index: of more of them, the manifests alone take tens of MiB."""
COLUMNS = (
    *("pair_id", "subject_id", "kind", "category", "class_name", "reversed_from", "status", "reason"),
    *("source_path", "subject_phash"),
    *(score.column for score in SCORES),
)
MAX_ROW_BYTES, MAX_INDEX_BYTES = 2**10, 4 * 2**30
"""Of a row in memory, on average, and of all of them: some 16 million rows as runs have them."""
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
        with (
            pq.ParquetWriter(ledger, SCHEMA, compression="zstd") as writer,
            manifests.open("w", encoding="utf-8") as lines,
        ):
            shards = _shards(storage, run)
            for block in _blocks(shards):
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
    manifests, tables, left = [], [], MAX_INDEX_BYTES
    for manifest, rows in _shards(storage, run):
        manifests.append(manifest)
        tables.append(rows)
        left -= rows.nbytes
        if left < 0:
            raise RunError(
                f"{storage.uri}: its ledger holds more than the {MAX_INDEX_BYTES} bytes that are read at once"
            )
    return WholeLedger(manifests, pa.concat_tables(tables).combine_chunks())


def read_index(storage: Storage, num_rows: int) -> WholeLedger:
    """num_rows: of the run. Raises MissingKey, DamagedFile; of a manifest when it is read."""
    with sound(storage.path_for(INDEX)):
        parquet = ParquetFile(storage.map(INDEX, MAX_MAPPED_BYTES))
        found = read_rows(parquet, SCHEMA.names, num_rows, MAX_ROW_BYTES, MAX_INDEX_BYTES)
        rows = with_schema(found, SCHEMA)
        PAIRS.check(rows)
    return WholeLedger(manifests_of(storage, INDEX_MANIFESTS), rows.combine_chunks())


def _blocks(shards: Iterable[tuple[Manifest, pa.Table]]) -> Iterator[list[tuple[Manifest, pa.Table]]]:
    """`BLOCK_SHARDS` each; fewer of large shards."""
    block: list[tuple[Manifest, pa.Table]] = []
    num_bytes = 0
    for manifest, rows in shards:
        block.append((manifest, rows))
        num_bytes += rows.nbytes
        if len(block) == BLOCK_SHARDS or num_bytes > ROW_GROUP_BYTES:
            yield block
            block, num_bytes = [], 0
    if block:
        yield block


def _shards(storage: Storage, run: PairRun) -> Iterator[tuple[Manifest, pa.Table]]:
    """Of every shard its manifest and the columns of its ledger."""
    finished_shards(storage, run)
    return read_ledgers(storage, read_manifests(storage), run.table, COLUMNS, READERS)
