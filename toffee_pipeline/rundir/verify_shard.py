"""Checks of one committed shard: bytes against the manifest, rows against the plan, data against the ledger."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.config.dataset import ImageDatasetConfig
from toffee_pipeline.errors import DamagedFile, ImageError, MissingKey
from toffee_pipeline.filters import REASONS, keeps_images
from toffee_pipeline.images import decode, decode_depth, decode_mask
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, unsound
from toffee_pipeline.plan.names import some
from toffee_pipeline.rundir.description import DatasetRun
from toffee_pipeline.rundir.findings import Problem, Tally, outcomes
from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED, manifest_key, name_of
from toffee_pipeline.rundir.manifests import (
    BankedSubject,
    BankManifest,
    DataFile,
    Manifest,
    read_bank_manifest,
    read_manifest,
)
from toffee_pipeline.rundir.rows import as_judged, home_of
from toffee_pipeline.rundir.verify_rows import Ledger, Rows, UnsoundFile, groups_of
from toffee_pipeline.schema.subjects import SUBJECTS
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES

ROWS_AT_ONCE = 1024
STATUS = {DATA: "accepted", REJECTED: "rejected"}
DECODE = {"mask": decode_mask, "depth": decode_depth}


class ShardCheck:
    """Checks shard after shard. Holds one file in memory; `pool` decodes its images."""

    def __init__(self, storage: Storage, run: DatasetRun, pool: ThreadPoolExecutor, tally: Tally) -> None:
        self.storage, self.config, self.table, self.pool, self.tally = storage, run.config, run.table, pool, tally

    def __call__(self, shard: int, rows: list[dict[str, Any]]) -> list[Problem]:
        """The problems of committed shard `shard`, whose rows are planned so."""
        planned = {row[self.table.id]: row for row in rows}
        return [Problem(kind, key, message, shard) for kind, key, message in self._check(shard, planned)]

    def _check(self, shard: int, planned: Rows) -> Iterator[tuple[str, str, str]]:
        manifest_at = manifest_key(shard)
        self.tally.checked["manifest"] += 1
        try:
            manifest = (read_bank_manifest if self.table is SUBJECTS else read_manifest)(self.storage, shard)
        except (DamagedFile, MissingKey) as error:
            yield "manifest", manifest_at, str(error).removeprefix(f"{self.storage.path_for(manifest_at)}: ")
            return
        self.tally.named.update(file.key for file in manifest.files)
        if manifest.counts.failed:
            self.tally.with_failed.append(shard)
        home = home_of(self.storage, manifest)
        entries = {name_of(file.key): file for file in manifest.files}
        expected = [(LEDGER, self.table.row), *((DATA, name) for name in self.table.files), (REJECTED, self.table.row)]
        if len(entries) < len(manifest.files) or expected[0] not in entries or not entries.keys() <= set(expected):
            yield "manifest", manifest_at, "it must name one ledger, and at most one file of each other kind"
            return
        ledger: Ledger | None = None
        for folder, name in expected:
            entry = entries.get((folder, name))
            key = entry.key if entry else manifest_at
            wanted = self._wanted(ledger, folder, name)
            if entry is None:
                if wanted:
                    lacks = f"{len(wanted)} {STATUS[folder]} {name}{'s' * (name == self.table.row)}"
                    yield "rows", key, f"the ledger has {lacks}, but {folder} has no file of them"
                continue
            try:
                file = self._open(home, entry, folder, len(planned))
                if folder == LEDGER:
                    ledger = Ledger(file, self.table)
                    if isinstance(manifest, BankManifest) and not _names_accepted(manifest, ledger.rows):
                        yield "manifest", manifest_at, "the subjects that it names are not the ledger's accepted ones"
                    yield from _lines("rows", key, self._ledger_problems(ledger, planned, manifest))
                elif ledger is not None:
                    wrong, broken = self._data_problems(file, ledger, wanted, folder)
                    yield from _lines("rows", key, wrong)
                    yield from _lines("image", key, broken)
            except UnsoundFile as error:
                yield error.kind, key, str(error)

    def _wanted(self, ledger: Ledger | None, folder: str, name: str) -> dict[str, int]:
        """The ledger's rows that must lie in the file `name` of `folder`: by id their numbers."""
        if ledger is None or folder == LEDGER:
            return {}
        wanted = {}
        for row in ledger.rows.select(ledger.judged).to_pylist():
            if row["status"] == STATUS[folder] and (
                keeps_images(self.config.output.keep, row["reason"])
                if folder == REJECTED
                else self.table.file_of(row) == name
            ):
                wanted[row[self.table.id]] = ledger.numbers[row[self.table.id]]
        return wanted

    def _open(self, home: Storage, entry: DataFile, folder: str, num_planned: int) -> ParquetFile:
        self.tally.checked["file"] += 1
        if entry.num_rows > num_planned:
            raise UnsoundFile("rows", f"the manifest says {entry.num_rows} rows, the plan has {num_planned}")
        try:
            data = home.map(entry.key, MAX_MAPPED_BYTES)
        except MissingKey as error:
            raise UnsoundFile("file", "the manifest names it, but it is not there") from error
        except DamagedFile as error:
            raise UnsoundFile("file", str(error).removeprefix(f"{home.path_for(entry.key)}: ")) from error
        self.tally.num_bytes += len(data)
        if len(data) != entry.size_bytes:
            raise UnsoundFile("file", f"{len(data)} bytes, the manifest says {entry.size_bytes}")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise UnsoundFile("file", "its bytes have changed: the SHA-256 is not the manifest's")
        try:
            file = ParquetFile(data)
        except DAMAGED as error:
            raise UnsoundFile("rows", unsound(error)) from error
        if not file.schema_arrow.equals(self.table.ledger if folder == LEDGER else self.table.data):
            raise UnsoundFile("rows", "columns or their types are not those of the schema")
        if file.metadata.num_rows != entry.num_rows:
            raise UnsoundFile("rows", f"{file.metadata.num_rows} rows, the manifest says {entry.num_rows}")
        return file

    def _ledger_problems(self, ledger: Ledger, planned: Rows, manifest: Manifest) -> Iterator[str]:
        """The ledger, as the manifest judges it, against the plan and the manifest's counts."""
        self.tally.checked["rows"] += len(ledger.rows)
        if manifest.view and (unknown := sorted(manifest.view.verdicts.keys() - ledger.numbers.keys())):
            yield f"the view judges {self.table.row}s that are not there: {some(unknown)}"
        yield from self._id_problems(Counter(ledger.rows[self.table.id].to_pylist()), planned)
        found = Counter({"planned": len(ledger.rows)})
        judged = as_judged(ledger.rows, manifest, self.table.id)
        for row in (row for batch in judged.to_batches(ROWS_AT_ONCE) for row in batch.to_pylist()):
            status, reason = row["status"], row["reason"]
            if different := _different(row, planned.get(row[self.table.id], {})):
                yield f"{row[self.table.id]}: not as planned: {', '.join(different)}"
            explained = status == "failed" or (reason in REASONS and REASONS[reason].explained)
            sound = (reason in REASONS) == (status == "rejected") and (row["error"] is not None) == explained
            if status not in ("accepted", "rejected", "failed") or not sound:
                yield f"{row[self.table.id]}: status {status!r} with reason {reason!r} and error {row['error']!r}"
            found[f"rejected: {reason}" if status == "rejected" else status] += 1
        self.tally.outcomes.update(found)
        if (said := outcomes(manifest.counts)) != found:
            yield f"the manifest counts {dict(said)}, the ledger {dict(found)}"

    def _data_problems(
        self, file: ParquetFile, ledger: Ledger, wanted: dict[str, int], folder: str
    ) -> tuple[list[str], list[str]]:
        """What is wrong with the rows, against the ledger's, and with their images."""
        ids: Counter[str] = Counter()
        wrong: list[str] = []
        broken: list[str] = []
        for rows in groups_of(file):
            expected = ledger.take(wanted[id] for row in rows if (id := row[self.table.id]) in wanted)
            for row in rows:
                ids[row[self.table.id]] += 1
                if different := _different(row, expected.get(row[self.table.id], {})):
                    wrong.append(f"{row[self.table.id]}: not as in the ledger: {', '.join(different)}")
            for found in self.pool.map(lambda row: self._image_problems(row, folder), rows):
                broken += found
            self.tally.checked["image"] += sum(row[name] is not None for row in rows for name in self.table.images)
        return [*self._id_problems(ids, wanted), *wrong], broken

    def _id_problems(self, ids: Counter[str], wanted: Collection[str]) -> Iterator[str]:
        for what, found in (
            ("missing", [key for key in wanted if key not in ids]),
            ("more than once", [key for key, number in ids.items() if number > 1]),
            ("not expected here", [key for key in ids if key not in wanted]),
        ):
            if found:
                yield f"{self.table.row}s {what}: {some(sorted(found))}"

    def _image_problems(self, row: dict[str, Any], folder: str) -> list[str]:
        needed = self.table.needed.get(row.get("kind", ""), frozenset())
        size_px = self.config.size_px if isinstance(self.config, ImageDatasetConfig) else None  # pictures have any size
        name_of_row, problems = row[self.table.id], []
        for name in self.table.images:
            data = (row[name] or {}).get("bytes")
            if data is None:
                if folder == DATA and name in needed:
                    problems.append(f"{name_of_row} {name}: there is none")
                continue
            try:
                shape = DECODE.get(name, decode)(data, f"{name_of_row} {name}", self.config.max_pixels).shape
                if size_px and shape[:2] != (size_px, size_px):
                    problems.append(f"{name_of_row} {name}: {shape[1]} x {shape[0]} px, the config says {size_px}")
            except ImageError as error:
                problems.append(str(error))
        return problems


def _names_accepted(manifest: BankManifest, ledger: pa.Table) -> bool:
    """Whether a bank's manifest names the accepted subjects, as they are planned and in their order."""
    accepted = ledger.filter(pc.equal(ledger["status"], "accepted"))
    named = [subject.model_dump() for subject in manifest.subjects]
    return named == accepted.select(list(BankedSubject.model_fields)).to_pylist()


def _different(row: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    both_nan = [name for name, value in expected.items() if row[name] != row[name] and value != value]
    return [name for name, value in expected.items() if row[name] != value and name not in both_nan]


def _lines(kind: str, key: str, messages: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """All that is wrong with one file as one line."""
    found = list(messages)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield kind, key, found[0] + more
