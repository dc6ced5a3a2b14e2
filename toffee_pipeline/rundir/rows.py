"""The rows of a committed shard as they count, of a run and of a view of one.

A view has manifests alone. Its files lie in the run that it is a view of, and its manifests say which of their rows are
judged otherwise. Whoever reads rows of either reads them by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.parquet_file import ParquetFile, read_group, read_rows, sound, with_schema
from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED, manifest_key
from toffee_pipeline.rundir.manifests import READERS, DataFile, Manifest
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES

ROWS_AT_ONCE = 20_000
"""Of several ledgers, in memory."""
_open_storage = cache(open_storage)
"""A client for each run of which views are read, and not for each shard."""


def home_of(storage: Storage, manifest: Manifest) -> Storage:
    """Where the files of a shard lie. storage: of the manifest."""
    return storage if manifest.view is None else _open_storage(manifest.view.run, storage.endpoint_url)


def files_of(manifest: Manifest, *folders: str) -> list[DataFile]:
    """The shard's files in these folders, one folder's after the other's."""
    return [file for folder in folders for file in manifest.files if file.folder == folder]


def files_of_accepted(manifest: Manifest) -> list[DataFile]:
    """The files that may hold accepted rows with their images."""
    taken_back = manifest.view is not None and None in manifest.view.verdicts.values()
    return files_of(manifest, DATA, REJECTED) if taken_back else files_of(manifest, DATA)


def as_judged(rows: pa.Table, manifest: Manifest, id: str) -> pa.Table:
    """Rows of a file of the shard, with the verdicts that count: the columns `status` and, if it is there, `reason`.

    id: the column that names a row.
    """
    verdicts = manifest.view.verdicts if manifest.view else {}
    for column in ("status", "reason") if verdicts else ():
        if column in rows.column_names:
            place = rows.schema.get_field_index(column)
            judged = [
                (verdicts[name] if column == "reason" else "rejected" if verdicts[name] else "accepted")
                if name in verdicts
                else old
                for name, old in zip(rows[id].to_pylist(), rows[column].to_pylist(), strict=True)
            ]
            rows = rows.set_column(place, rows.schema.field(column), pa.array(judged, pa.string()))
    return rows


def schema_of(whole: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """Of these columns; None: of all."""
    return whole if columns is None else pa.schema([whole.field(name) for name in columns])


def read_ledger(storage: Storage, manifest: Manifest, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Every planned row of the shard, in the plan's order. columns: all by default. Raises DamagedFile."""
    home, ledgers = home_of(storage, manifest), files_of(manifest, LEDGER)
    if len(ledgers) != 1:  # a shard without rows has a manifest too, of which nobody asks for rows
        name = storage.path_for(manifest_key(manifest.shard))
        raise DamagedFile(f"{name}: damaged: it names {len(ledgers)} ledgers, and a shard with rows has one")
    file = ledgers[0]
    schema = schema_of(table.ledger, columns)
    with sound(home.path_for(file.key)):
        rows = read_rows(ParquetFile(home.map(file.key, MAX_MAPPED_BYTES)), schema.names, file.num_rows)
        rows = checked(rows, schema, table)
    return as_judged(rows, manifest, table.id)


def checked(rows: pa.Table, schema: pa.Schema, table: Table) -> pa.Table:
    """The rows under `schema`, of columns of the table. Raises pa.ArrowException where they are none of its."""
    rows = rows if rows.schema.equals(schema) else with_schema(rows, schema)
    table.check(rows)
    return rows


def read_ledgers(
    storage: Storage,
    manifests: Iterable[Manifest],
    table: Table,
    columns: Sequence[str] | None = None,
    readers: int = READERS,
) -> Iterator[tuple[Manifest, pa.Table]]:
    """Of each manifest the ledger, as `read_ledger`. So many are read at once, and fewer where they have more than
    `ROWS_AT_ONCE` rows together."""

    def read(manifest: Manifest) -> tuple[Manifest, pa.Table]:
        return manifest, read_ledger(storage, manifest, table, columns)

    with ThreadPoolExecutor(readers) as pool:
        for some in _few(manifests, readers):
            yield from pool.map(read, some)


def _few(manifests: Iterable[Manifest], most: int) -> Iterator[list[Manifest]]:
    some: list[Manifest] = []
    num_rows = 0
    for manifest in manifests:
        more = sum(file.num_rows for file in files_of(manifest, LEDGER))
        if some and (len(some) == most or num_rows + more > ROWS_AT_ONCE):
            yield some
            some, num_rows = [], 0
        some.append(manifest)
        num_rows += more
    if some:
        yield some


def read_accepted(
    storage: Storage, manifest: Manifest, table: Table, columns: Sequence[str] | None = None
) -> Iterator[tuple[DataFile, pa.Table]]:
    """The accepted rows of the shard with their images, a row group at a time, and the file that each lies in.

    Of a row group without such rows no image is read. columns: of the file, all by default. Raises DamagedFile.
    """
    home = home_of(storage, manifest)
    verdict, schema = (schema_of(table.data, names) for names in ((table.id, "status"), columns))
    for file in files_of_accepted(manifest):
        with sound(home.path_for(file.key)), home.open(file.key) as opened:
            parquet = ParquetFile(opened)
            for number in range(parquet.num_row_groups):
                rows = checked(read_group(parquet, number, verdict.names), verdict, table)
                verdicts = as_judged(rows, manifest, table.id)
                accepted = pc.equal(verdicts["status"], "accepted")
                if pc.any(accepted).as_py():
                    rows = checked(read_group(parquet, number, schema.names), schema, table)
                    yield file, as_judged(rows, manifest, table.id).filter(accepted)
