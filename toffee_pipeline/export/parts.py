"""The work of an export in parts, and what of it is done.

A part is some consecutive files of the run, as many as make up the asked size. A part's files are written first, each
under a name that the part alone decides, then its record. So an export that was killed goes on at the first part
without a record, and writes nothing twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from toffee_pipeline.errors import MissingKey, RunMismatch
from toffee_pipeline.rundir.layout import DATA, name_of
from toffee_pipeline.rundir.manifests import DataFile, Manifest, read_manifests
from toffee_pipeline.rundir.rows import files_of_accepted
from toffee_pipeline.rundir.run_file import Number, Part, RunFile, read
from toffee_pipeline.storage import Storage

STATE = "_export/"
HEADER = f"{STATE}export.json"


class ExportedFile(Part):
    """A file that the export wrote."""

    key: str
    size_bytes: Number
    sha256: str


class ExportedPart(RunFile):
    """The record of a part. rows: split -> kind -> rows; categories, classes: rows. fragments: Lance's own description
    of the files, by dataset."""

    number: Number
    files: tuple[ExportedFile, ...]
    rows: dict[str, dict[str, Number]]
    categories: dict[str, Number]
    classes: dict[str, Number]
    fragments: dict[str, list[str]] = {}

    @property
    def num_rows(self) -> int:
        return sum(self.categories.values())


class ExportHeader(RunFile):
    """What an export is of, so that a directory holds one. files_sha256: over those of the run's files."""

    format: str
    splits: dict[str, float]
    license: str
    part_bytes: Number
    signed: bool
    plan_hash: str
    num_parts: Number
    files_sha256: str


class Source(NamedTuple):
    """A file of a run or view with accepted pairs. manifest: of its shard, whose verdicts count."""

    manifest: Manifest
    file: DataFile


def plan_parts(run: Storage, kinds: Sequence[str], part_bytes: int) -> list[list[Source]]:
    """The run's files of accepted pairs of these kinds, by shard, in parts of at least `part_bytes` but for the last.
    Those of pairs that a view takes back have every kind.

    Raises as `read_manifests`.
    """
    parts: list[list[Source]] = []
    size_bytes = part_bytes
    for manifest in read_manifests(run):
        for file in files_of_accepted(manifest):
            if file.folder != DATA or name_of(file.key)[1] in kinds:
                if size_bytes >= part_bytes:
                    parts.append([])
                    size_bytes = 0
                parts[-1].append(Source(manifest, file))
                size_bytes += file.size_bytes
    return parts


def digest(parts: Sequence[Sequence[Source]]) -> str:
    """Of what the files hold and a view makes of it, in their order."""
    names = [file.sha256 + (manifest.attempt if manifest.view else "") for part in parts for manifest, file in part]
    return hashlib.sha256("".join(names).encode()).hexdigest()


def claim(target: Storage, header: ExportHeader) -> None:
    """Begins an export, or goes on with one. Raises RunMismatch with the keys in which what is there differs."""
    if target.put_if_absent(HEADER, header.encode()):
        return
    known = read(target, HEADER, ExportHeader)
    different = [name for name in ExportHeader.model_fields if getattr(known, name) != getattr(header, name)]
    if different:
        raise RunMismatch(
            f"{target.uri} holds another export; it differs in: {', '.join(different)} (a run that has grown since is "
            "another one too); choose another --output"
        )


def record_key(number: int) -> str:
    return f"{STATE}part-{number:05d}.json"


def is_done(target: Storage, number: int, stem: Callable[[str, str, int], str]) -> bool:
    """Whether a part has its record and all its files, by their sizes. stem: what the keys of a split and kind begin
    with."""
    try:
        record = read(target, record_key(number), ExportedPart)
    except MissingKey:
        return False
    stems = [stem(split, kind, number) for split, kinds in record.rows.items() for kind in kinds]
    sizes = dict(entry for each in stems for entry in target.list(each))
    return all(sizes.get(file.key) == file.size_bytes for file in record.files)


def records(target: Storage, num_parts: int) -> Iterator[ExportedPart]:
    """The records of all parts, one at a time. Raises MissingKey where one is not done."""
    for number in range(num_parts):
        yield read(target, record_key(number), ExportedPart)
