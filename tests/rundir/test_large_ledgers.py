"""Run directories of a few MB whose ledgers, manifests or lists would take gigabytes: refused, or read bit by bit."""

import gzip
import hashlib
import json

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from tests.helpers.planned_run import write_planned_run
from tests.helpers.repeated import in_every_row, packed
from toffee_pipeline.errors import DamagedFile, PlanError, StorageError
from toffee_pipeline.parquet_file import MAX_GROUP_BYTES
from toffee_pipeline.plan import stored_list
from toffee_pipeline.plan.shards import MAX_SHARD_ROWS
from toffee_pipeline.report.listing import Listing
from toffee_pipeline.report.sample import sample_shards
from toffee_pipeline.rundir import manifests
from toffee_pipeline.rundir.commit import commit_shard
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.index import COLUMNS, SCHEMA, WholeLedger, read_index
from toffee_pipeline.rundir.layout import INDEX, LEDGER, manifest_key, pack_key
from toffee_pipeline.rundir.manifests import read_manifest
from toffee_pipeline.rundir.rows import ROWS_AT_ONCE, read_ledger, read_ledgers
from toffee_pipeline.rundir.stored_pair import read_pair
from toffee_pipeline.rundir.verify import verify
from toffee_pipeline.rundir.view import shards_of_view
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import LocalStorage

WORDS = {"kind": "edit", "category": "style", "edit_region": "subject", "status": "rejected", "reason": "low_clip"}
"""Values of columns that take only some."""


def repeated(schema: pa.Schema, num_rows: int, **values: str) -> pa.Table:
    """Equal rows, whose texts are stored once."""
    columns, values = [], {**WORDS, **values}
    for field in schema:
        if pa.types.is_string(field.type):
            columns.append(in_every_row(values.get(field.name, field.name), num_rows))
        else:
            zero = {} if pa.types.is_nested(field.type) else 0
            columns.append(pa.array([zero if not field.nullable else None] * num_rows, field.type))
    return pa.table(columns, schema.names)


def put_ledger(storage: LocalStorage, shard: int, data: bytes, num_rows: int) -> None:
    """In place of the shard's own, with an honest hash."""
    manifest = json.loads(storage.get(manifest_key(shard)))
    (file,) = (file for file in manifest["files"] if file["folder"] == LEDGER)
    file |= {"num_rows": num_rows, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    storage.put(file["key"], data)
    storage.put(manifest_key(shard), json.dumps(manifest).encode())


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    made = LocalStorage(str(tmp_path / "run"))
    write_planned_run(made, 48)
    return made


def test_what_a_manifest_says_of_a_file_stays_within_a_plan(storage):
    put_ledger(storage, 0, packed(repeated(PAIRS.ledger, 1)), MAX_SHARD_ROWS + 1)
    with pytest.raises(DamagedFile, match="num_rows: Input should be less than or equal to 100000"):
        read_manifest(storage, 0)


def test_a_ledger_that_holds_more_than_a_run_writes_is_refused_by_all_who_read_it(storage):
    """Of 60,000 rows, each with the same 10 kB, in groups of which each is small enough."""
    rows = repeated(PAIRS.ledger, 60_000, pair_id="p000000000", class_name="x" * 10_000)
    for shard in range(6):
        put_ledger(storage, shard, packed(rows, row_group_size=20_000), 60_000)
    before, run = pa.default_memory_pool().max_memory(), read_pairs(storage)
    readers = (
        lambda: read_ledger(storage, read_manifest(storage, 0), PAIRS),
        lambda: sample_shards(storage, PAIRS),
        lambda: read_pair(storage, run, "p000000000"),
    )
    for read in readers:
        with pytest.raises(DamagedFile, match="ledger.*: not a sound Parquet file: 60000 rows hold more than they may"):
            read()
    problems = {problem.message for problem in verify(storage).problems if problem.kind == "rows"}
    assert "the manifest says 60000 rows, the plan has 8" in problems
    assert pa.default_memory_pool().max_memory() <= max(before, 2 * MAX_GROUP_BYTES)


def test_of_large_ledgers_few_are_read_at_once(storage):
    num_rows = 7000
    data = packed(repeated(PAIRS.ledger, num_rows, error="x" * 10_000))
    for shard in range(6):
        put_ledger(storage, shard, data, num_rows)
    before, seen = pa.default_memory_pool().max_memory(), 0
    for _, rows in read_ledgers(storage, (read_manifest(storage, shard) for shard in range(6)), PAIRS):
        seen += len(rows)
        del rows
    assert seen == 6 * num_rows
    assert pa.default_memory_pool().max_memory() <= max(before, 2.5 * ROWS_AT_ONCE * 10_500)


def test_of_large_shards_browse_keeps_fewer_open(storage):
    listing = Listing(storage)
    first = listing.shard(0)
    assert listing.shard(1) and listing.shard(0) is first
    for shard in (2, 3):
        put_ledger(storage, shard, b"of many rows", ROWS_AT_ONCE)
        assert listing.shard(shard)
    assert listing.shard(0) is not first


def test_a_ledger_of_other_columns_is_damaged(storage):
    put_ledger(storage, 0, packed(pa.table({name: [[1]] for name in PAIRS.ledger.names})), 1)
    with pytest.raises(DamagedFile, match="not a sound Parquet file"):
        read_ledger(storage, read_manifest(storage, 0), PAIRS)


def test_the_index_has_a_bound_for_each_row(storage):
    assert set(COLUMNS) == set(SCHEMA.names)
    storage.put(INDEX, packed(repeated(SCHEMA, 5000, class_name="x" * 2000)))
    with pytest.raises(DamagedFile, match="row group 0 holds more than the 5121024 bytes that 5000 rows may"):
        read_index(storage, 5000)


def test_manifests_that_count_more_rows_than_the_ledger_has(storage):
    manifest = read_manifest(storage, 0)
    rows = read_ledger(storage, manifest, PAIRS, COLUMNS)
    assert len(list(shards_of_view(WholeLedger([manifest], rows), rows, "run"))) == 1
    many = manifest.model_copy(update={"counts": ShardCounts(planned=10**12)})
    with pytest.raises(DamagedFile, match="^run: damaged: its manifests count more rows than its ledger has$"):
        list(shards_of_view(WholeLedger([many], rows), rows, "run"))


def test_a_manifest_is_small_and_so_is_a_line_of_a_pack(storage):
    spaces = b" " * manifests.MAX_MANIFEST_BYTES
    own = storage.get(manifest_key(0))
    storage.put(manifest_key(0), own + spaces)
    with pytest.raises(DamagedFile, match="allowed are 16777216"):
        read_manifest(storage, 0)
    storage.delete(manifest_key(0))
    storage.put(pack_key(0, 1), json.dumps(json.loads(own)).encode() + spaces)
    with pytest.raises(DamagedFile, match="a line of more than 16777216 bytes"):
        read_manifest(LocalStorage(storage.uri), 0)


def test_a_manifest_that_nobody_could_read_is_not_written(tmp_path):
    storage = LocalStorage(str(tmp_path))
    counts = ShardCounts(unreadable={f"{number:090}": "x" * 10 for number in range(160_000)})
    with pytest.raises(StorageError, match="a manifest of .* bytes; allowed are 16777216: lower subjects_per_shard"):
        commit_shard(storage, 0, [], counts)
    assert list(storage.list()) == []


@pytest.mark.parametrize("row", [b'"' + b"x" * 149 + b'"\n', b'""\n'])
def test_a_list_is_unpacked_line_by_line_up_to_a_bound(row, monkeypatch):
    monkeypatch.setattr(stored_list, "MAX_LIST_BYTES", 15_200)
    kind = TypeAdapter(str)
    assert len(stored_list.read_list(gzip.compress(row * 100), "list", kind)) == 100
    with pytest.raises(PlanError, match="list: damaged: .*more than 15200 bytes"):
        stored_list.read_list(gzip.compress(row * 153), "list", kind)


def test_of_many_manifests_few_are_read_ahead(storage, monkeypatch):
    numbers, read_one = [], manifests.read_manifest
    monkeypatch.setattr(manifests, "MANIFESTS_AHEAD", 2)
    monkeypatch.setattr(manifests, "read_manifest", lambda *args: numbers.append(args[1]) or read_one(*args))
    known = manifests.read_manifests(storage)
    assert next(known).shard == 0
    known.close()
    assert len(numbers) == 2
    assert [manifest.shard for manifest in manifests.read_manifests(storage)] == [*range(6)]
