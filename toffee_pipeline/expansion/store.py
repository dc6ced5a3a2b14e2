"""What lies in the directory of an expansion: what it is of, the answers, the ledger and the bank.

A shard of answers is one file, put once: it is its own commit. Everything behind the answers follows from them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.errors import DamagedFile, RunMismatch
from toffee_pipeline.expansion.sieve import Proposal
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, read_rows, unsound, with_schema
from toffee_pipeline.rundir.run_file import Number, RunFile, read
from toffee_pipeline.storage import Storage

HEADER = "expansion.json"
LEDGER = "ledger.parquet"
BANK = "bank.parquet"
SUMMARY = "summary.json"
ANSWERS = pa.schema(
    [
        pa.field("ask", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("error", pa.string()),
        pa.field("revision", pa.string()),
    ]
)
LEDGER_COLUMNS = pa.schema(
    [
        pa.field("ask", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("applies_to", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
"""status: kept or dropped. reason: one of `sieve.REASONS`, null of what is kept."""


class Answered(NamedTuple):
    """An answer. ask: its name. text: None where there is none, for the reason in `error`. revision: of the model, as
    far as it is known."""

    ask: str
    text: str | None
    error: str | None
    revision: str | None


class ExpansionHeader(RunFile):
    """What an expansion is of, so that a directory holds one. inputs_sha256: over catalogue and banks."""

    config: ExpansionConfig
    inputs_sha256: str


class ExpansionSummary(RunFile):
    """What came of it. dropped: by reason. lacking: rows that quotas still lack, as {"style of live": 3}."""

    model: str
    rounds: Number
    asks: Number
    proposals: Number
    kept: Number
    dropped: dict[str, Number]
    lacking: dict[str, Number]


def claim(storage: Storage, header: ExpansionHeader) -> None:
    """Begins an expansion, or goes on with one. Raises RunMismatch with the keys in which what is there differs."""
    if storage.put_if_absent(HEADER, header.encode()):
        return
    known = read(storage, HEADER, ExpansionHeader)
    different = differing_content(known.config, header.config)
    if known.inputs_sha256 != header.inputs_sha256:
        different.append("the content of catalog or bank")
    if different:
        raise RunMismatch(
            f"{storage.uri} holds another expansion; it differs in: {', '.join(different)}; choose another --output"
        )


def answers_key(round_number: int, shard: int) -> str:
    return f"answers/round-{round_number:03d}-shard-{shard:05d}.parquet"


def put_answers(storage: Storage, round_number: int, shard: int, answers: Iterable[Answered]) -> None:
    """Commits a shard; where another driver was faster, its answers count."""
    rows = [answer._asdict() for answer in sorted(answers)]
    storage.put_if_absent(answers_key(round_number, shard), _to_bytes(rows, ANSWERS))


def missing_shards(storage: Storage, round_number: int, num_shards: int) -> set[int]:
    """The shards of a round that are not committed."""
    there = {key for key, _ in storage.list(f"answers/round-{round_number:03d}-")}
    return {shard for shard in range(num_shards) if answers_key(round_number, shard) not in there}


def read_answers(storage: Storage, round_number: int, num_shards: int) -> Iterator[Answered]:
    """The answers of a whole round, in the order of its questions. Raises DamagedFile, OSError."""
    for shard in range(num_shards):
        key = answers_key(round_number, shard)
        try:
            found = read_rows(ParquetFile(storage.map(key)), ANSWERS.names)
            rows = with_schema(found, ANSWERS).to_pylist()
        except DAMAGED as error:
            if is_of_store(error):
                raise
            problem = f"{storage.path_for(key)}: {unsound(error)}; delete it, and its questions are asked again"
            raise DamagedFile(problem) from error
        yield from (Answered(**row) for row in rows)


class Ledger:
    """The ledger as Parquet, as it grows: memory holds it compressed."""

    def __init__(self) -> None:
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, LEDGER_COLUMNS, compression="zstd")

    def add(self, proposals: Iterable[Proposal]) -> None:
        rows = [
            {
                "ask": proposal.ask,
                "category": proposal.cell.category,
                "applies_to": proposal.cell.applies_to,
                "text": storable(proposal.text),
                "status": "dropped" if proposal.reason else "kept",
                "reason": proposal.reason,
                "detail": proposal.detail and storable(proposal.detail),
            }
            for proposal in proposals
        ]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=LEDGER_COLUMNS))

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.getvalue()


def storable(text: str) -> str:
    """The text with halves of surrogate pairs, which JSON may hold and Parquet may not, written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _to_bytes(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()
