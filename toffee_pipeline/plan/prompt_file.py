"""The two forms of a prompt bank's file, Parquet and JSON lines: a row at a time, whatever the file's size."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.errors import CatalogError
from toffee_pipeline.parquet_file import DAMAGED, ParquetFile, is_of_store, stream_texts, unsound
from toffee_pipeline.plain_file import lines_of
from toffee_pipeline.plan.prompt_row import NATURES, PromptRow, parse_row

SUFFIXES = (".jsonl", ".parquet")
MAX_LINE_BYTES = 64 * 1024
BATCH = 4096
"""Rows that are written at once."""
_TEXT = pa.map_(pa.string(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("category", pa.string(), nullable=False),
        pa.field("applies_to", pa.list_(pa.string()), nullable=False),
        pa.field("change", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("draft_prompts", pa.list_(_TEXT)),
        pa.field("instruction", pa.string()),
        pa.field("edit_region", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("license", pa.string(), nullable=False),
        pa.field("verdicts", _TEXT),
    ]
)
"""Of a Parquet file; `applies_to` is a list there, ["live"] of what applies to all live classes."""


def check_suffix(name: str) -> str:
    """Returns ".jsonl" or ".parquet". Raises CatalogError for another one."""
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    if suffix is None:
        raise CatalogError(f"prompt bank {name}: allowed are files that end in {' or '.join(SUFFIXES)}")
    return suffix


def parse_rows(file: BinaryIO, name: str) -> Iterator[tuple[str, PromptRow | ValueError]]:
    """The place of each row ("line 7", "row 7", both from 1), and the row or what is wrong with it.

    Args:
        name: of the file, whose end says its form.

    Raises CatalogError where nothing behind a place can be read: another suffix, not Parquet, without its columns.
    """
    unit, contents = ("row", _parquet(file, name)) if check_suffix(name) == ".parquet" else ("line", _lines(file))
    for number, content in enumerate(contents, start=1):
        if content == b"":
            continue
        row: PromptRow | ValueError
        try:
            row = parse_row(_loads(content) if isinstance(content, bytes) else content)
        except (ValueError, RecursionError) as error:
            reason = f"not JSON: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
            row = ValueError(reason)
        yield f"{unit} {number}", row


def write_rows(file: BinaryIO, rows: Iterable[PromptRow], name: str) -> int:
    """Writes the rows in the form that the end of `name` says, and returns how many there were."""
    dumped = (row.model_dump(mode="json", exclude_defaults=True) for row in rows)
    number = 0
    if check_suffix(name) == ".jsonl":
        for content in dumped:
            file.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")
            number += 1
        return number
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        while batch := [_to_arrow(content) for content in islice(dumped, BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
            number += len(batch)
    return number


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Without the space around them; see `lines_of`."""
    for line in lines_of(file, MAX_LINE_BYTES):
        yield line.removeprefix(codecs.BOM_UTF8).strip()


def _loads(line: bytes) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
    return json.loads(line)


def _parquet(file: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    try:
        parquet = ParquetFile(file)
        found = parquet.schema_arrow.names
        if missing := [field.name for field in SCHEMA if not field.nullable and field.name not in found]:
            raise CatalogError(f"prompt bank {name}: no column {missing[0]}; its columns are {', '.join(found)}")
        for number in range(parquet.num_row_groups):
            for batch in stream_texts(parquet, number):
                yield from map(_from_arrow, batch.to_pylist())
    except DAMAGED as error:
        if is_of_store(error):
            raise
        raise CatalogError(f"prompt bank {name}: {unsound(error)}") from error


def _to_arrow(content: dict[str, Any]) -> dict[str, Any]:
    """pydantic's form to pyarrow's: maps are lists of pairs there."""
    applies = content.get("applies_to", NATURES[0])
    return content | {
        "applies_to": [applies] if isinstance(applies, str) else applies,
        "draft_prompts": [list(each.items()) for each in content["draft_prompts"]]
        if "draft_prompts" in content
        else None,
        "verdicts": list(content.get("verdicts", {}).items()),
    }


def _from_arrow(content: dict[str, Any]) -> dict[str, Any]:
    if content.get("draft_prompts") is not None:
        content["draft_prompts"] = [dict(each) for each in content["draft_prompts"]]
    if content.get("verdicts") is not None:
        content["verdicts"] = dict(content["verdicts"])
    return content
