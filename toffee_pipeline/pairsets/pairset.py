"""A set of somebody's pairs, listed once: a Parquet file with a row per pair, which is kept with the run.

It holds what the plan needs, so that a shard reads its own rows alone, and nobody holds them all.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError

from toffee_pipeline.config.refine_pairs import (
    GivenPairs,
    ImageFolderPairs,
    InstructPix2PixPairs,
    ParquetPairs,
    WebDatasetPairs,
)
from toffee_pipeline.errors import DamagedFile, PlanError
from toffee_pipeline.pairsets.given import Reader
from toffee_pipeline.pairsets.imagefolder import ImageFolder
from toffee_pipeline.pairsets.instructpix2pix import InstructPix2Pix
from toffee_pipeline.pairsets.listing import visible
from toffee_pipeline.pairsets.parquet import ParquetFiles
from toffee_pipeline.pairsets.webdataset import WebDataset
from toffee_pipeline.parquet_file import MAX_TEXT_ROW_BYTES, ParquetFile, read_group, sound
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.refinement import GivenPair
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES

SCHEMA = pa.schema([pa.field(each.name, pa.string(), nullable=each.name == "problem") for each in fields(GivenPair)])
ROWS_PER_GROUP, GROUPS_KEPT = 1024, 2
ABOUT = b"toffee_pipeline.pairset"
FORMATS: dict[type[GivenPairs], Any] = {
    InstructPix2PixPairs: InstructPix2Pix,
    ImageFolderPairs: ImageFolder,
    ParquetPairs: ParquetFiles,
    WebDatasetPairs: WebDataset,
}


class Files(NamedTuple):
    """Whether a set is what it was. sha256: over names and sizes of its files, and over how they are read."""

    number: int
    num_bytes: int
    sha256: str


class About(NamedTuple):
    """What a list says of itself. digest: of its rows."""

    files: Files
    digest: str
    num_pairs: Annotated[int, Field(gt=0, le=10**9)]
    num_other_languages: Annotated[int, Field(ge=0)]


class PairSet:
    """A listed set.

    Args:
        storage, key: where the list lies.
        folder: a temporary one, which must last as long as the set.

    Raises DamagedFile, and MissingKey where there is none.
    """

    def __init__(self, storage: Storage, key: str, folder: tempfile.TemporaryDirectory[str] | None = None) -> None:
        self._storage, self._key, self._name, self._folder = storage, key, storage.path_for(key), folder
        with sound(self._name), storage.open(key) as file:
            about = (ParquetFile(file).metadata.metadata or {}).get(ABOUT, b"")
        try:
            self._about = TypeAdapter(About).validate_json(about)
        except ValidationError as error:
            raise DamagedFile(f"{self._name}: damaged: what it says of itself is not of a list of pairs") from error
        self.files, self.num_other_languages = self._about.files, self._about.num_other_languages
        self._group = lru_cache(GROUPS_KEPT)(self._read_group)

    @property
    def digest(self) -> str:
        return self._about.digest

    def __len__(self) -> int:
        return self._about.num_pairs

    def pairs(self, numbers: range) -> list[GivenPair]:
        """Raises DamagedFile."""
        return [GivenPair(**self._row(number)) for number in numbers]

    def change(self, before: PairSet) -> str | None:
        """One line about what differs from an earlier list, None where nothing does."""
        if self.files == before.files:
            return None
        was, now = (f"{each.number:,} files of {each.num_bytes:,} bytes" for each in (before.files, self.files))
        return f"{was} then, {now} now" if was != now else f"names of its {now} have changed"

    def copy_to(self, storage: Storage, key: str) -> None:
        """Keeps the list there too."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pairs")
            self._storage.get_file(self._key, path, MAX_MAPPED_BYTES)
            storage.put_file(key, path)

    def _row(self, number: int) -> dict[str, Any]:
        rows: dict[str, Any] = self._group(number // ROWS_PER_GROUP).slice(number % ROWS_PER_GROUP, 1).to_pylist()[0]
        return rows

    def _read_group(self, number: int) -> pa.Table:
        with sound(self._name), self._storage.open(self._key) as file:
            rows = read_group(ParquetFile(file), number, max_row_bytes=MAX_TEXT_ROW_BYTES)
            if not rows.schema.equals(SCHEMA) or len(rows) != min(ROWS_PER_GROUP, len(self) - number * ROWS_PER_GROUP):
                raise pa.ArrowInvalid("its columns or rows are not those of a list of pairs")
            return rows


def open_source(source: GivenPairs) -> Storage:
    """Where the set lies."""
    return open_storage(source.path, source.endpoint_url, follow_links=True)


def reader_of(source: GivenPairs) -> Reader:
    """Reads the set's format."""
    reader: Reader = FORMATS[type(source)](source, open_source(source))
    return reader


def files_of(source: GivenPairs) -> Files:
    """Lists the set's files."""
    reader, number, num_bytes = reader_of(source), 0, 0
    digest = hashlib.sha256(source.model_dump_json(exclude={"path"}).encode())
    for key, size in visible(open_source(source)):
        if reader.files(key):
            number, num_bytes = number + 1, num_bytes + size
            digest.update(f"{json.dumps(key)} {size}\n".encode())
    return Files(number, num_bytes, digest.hexdigest())


def write_list(source: GivenPairs, files: Files, path: Path) -> None:
    """Lists the set's pairs, a row group of them in memory at a time. Raises PlanError where it has none."""
    digest, num_pairs, num_other_languages = hashlib.sha256(), 0, 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for rows in _blocks(asdict(pair) for pair in reader_of(source).pairs()):
            for row in rows:
                digest.update(json.dumps(row, sort_keys=True).encode())
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
            num_pairs += len(rows)
            num_other_languages += sum(row["problem"] is None and not is_english(row["prompt"]) for row in rows)
        if not num_pairs:
            raise PlanError(f"source.path: {source.path}: there is no pair")
        about = {"files": files, "digest": digest.hexdigest(), "num_pairs": num_pairs}
        about["num_other_languages"] = num_other_languages
        writer.add_key_value_metadata({ABOUT.decode(): json.dumps(about)})


def _blocks(rows: Iterable[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    left = iter(rows)
    while block := list(islice(left, ROWS_PER_GROUP)):
        yield block
