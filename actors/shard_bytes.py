"""A shard as bytes, for its way between processes: two tables, subjects and pairs, or one of pictures, as Arrow IPC
streams."""

from __future__ import annotations

import mmap
import struct
from dataclasses import asdict, fields
from typing import Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa

from actors.pictures import PictureShard, PictureState
from actors.shard import PairState, Shard, SubjectState
from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.parquet_file.arrow_message import may_be_compressed
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.pictures import Picture
from toffee_pipeline.schema.subjects import Subject


def _planned(kind: type[Any]) -> list[pa.Field]:
    """The columns of what a plan says, all of them texts or integers."""
    return [
        pa.field(
            name, pa.int64() if int in (hint, *get_args(hint)) else pa.string(), nullable=type(None) in get_args(hint)
        )
        for name, hint in get_type_hints(kind).items()
    ]


_STATE = [
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("error", pa.string()),
    pa.field("scores", pa.map_(pa.string(), pa.float64()), nullable=False),
    pa.field("stage_s", pa.map_(pa.string(), pa.float64()), nullable=False),
    pa.field("stage_joules", pa.map_(pa.string(), pa.float64()), nullable=False),
]
SUBJECTS = pa.schema(
    [
        *_planned(Subject),
        *_STATE,
        pa.field("image", pa.large_binary()),
        pa.field("mask", pa.large_binary()),
        pa.field("mask_reason", pa.string()),
        pa.field("depth", pa.large_binary()),
        pa.field("tokens", pa.large_binary()),  # float16, row by row
        pa.field("num_tokens", pa.int32()),
    ]
)
PAIRS = pa.schema(
    [
        *_planned(Pair),
        *_STATE,
        pa.field("draft", pa.large_binary()),
        pa.field("target", pa.large_binary()),
        pa.field("input", pa.large_binary()),
        pa.field("edit_mask", pa.large_binary()),
        pa.field("draft_mask", pa.large_binary()),
    ]
)


PICTURES = pa.schema(
    [
        *_planned(Picture),
        *_STATE,
        pa.field("image", pa.large_binary()),
        pa.field("mask", pa.large_binary()),
    ]
)


def shard_to_bytes(shard: Shard | PictureShard) -> bytes:
    """Everything that a shard holds but its index."""
    sink = pa.BufferOutputStream()
    if isinstance(shard, PictureShard):
        rows = [{**asdict(state.picture), **_own_fields(state)} for state in shard.pictures]
        with pa.ipc.new_stream(sink, PICTURES) as stream:
            stream.write_table(pa.Table.from_pylist(rows, schema=PICTURES))
        return sink.getvalue().to_pybytes()
    subjects = [_subject_row(state) for state in shard.subjects.values()]
    pairs = [{**asdict(state.pair), **_own_fields(state)} for state in shard.pairs]
    for rows, schema in ((subjects, SUBJECTS), (pairs, PAIRS)):
        with pa.ipc.new_stream(sink, schema) as stream:
            stream.write_table(pa.Table.from_pylist(rows, schema=schema))
    return sink.getvalue().to_pybytes()


def shard_from_bytes(index: int, data: bytes | mmap.mmap, name: str = "a shard") -> Shard | PictureShard:
    """What `shard_to_bytes` made. name: of the file. Raises DamagedFile for anything else."""
    try:
        return _shard_from(index, pa.BufferReader(data))
    except (pa.ArrowException, OSError, StopIteration, struct.error, ValueError, TypeError) as error:
        raise DamagedFile(f"{name}: damaged: {' '.join(str(error).split()) or 'it ends too soon'}") from error


def _shard_from(index: int, source: pa.BufferReader) -> Shard | PictureShard:
    """The columns of its first table tell what it is."""
    first = _read_table(source)
    if first.schema.equals(PICTURES):
        return PictureShard(index, [PictureState(_take(Picture, row), **row) for row in _rows(first)])
    subjects, pairs = _rows(first), _rows(_read_table(source))
    states = [_subject_state(row) for row in subjects]
    return Shard(index, {state.id: state for state in states}, [PairState(_take(Pair, row), **row) for row in pairs])


def _read_table(source: pa.BufferReader) -> pa.Table:
    messages = pa.ipc.MessageReader.open_stream(source)
    schema = pa.ipc.read_schema(messages.read_next_message())
    if not any(schema.equals(known) for known in (SUBJECTS, PAIRS, PICTURES)):
        raise pa.ArrowInvalid("other columns than a shard has")
    batches = []
    for message in iter(messages.read_next_message, None):
        if message.type != "record batch" or may_be_compressed(message):
            raise pa.ArrowInvalid("a message that no shard has")
        batches.append(pa.ipc.read_record_batch(message, schema))
        batches[-1].validate(full=True)
    return pa.Table.from_batches(batches, schema)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist(maps_as_pydicts="strict")


def _own_fields(state: SubjectState | PairState | PictureState) -> dict[str, Any]:
    """What the stages fill."""
    return {
        field.name: getattr(state, field.name)
        for field in fields(state)
        if field.name not in ("subject", "pair", "picture")
    }


def _take(kind: type[Any], row: dict[str, Any]) -> Any:
    """The planned subject or pair of a row, whose columns leave the row."""
    return kind(**{field.name: row.pop(field.name) for field in fields(kind)})


def _subject_row(state: SubjectState) -> dict[str, Any]:
    row = {**asdict(state.subject), **_own_fields(state)}
    if state.tokens is not None:
        row |= {"tokens": state.tokens.tobytes(), "num_tokens": len(state.tokens)}
    return row


def _subject_state(row: dict[str, Any]) -> SubjectState:
    num_tokens = row.pop("num_tokens")
    if row["tokens"] is not None:
        row["tokens"] = np.frombuffer(row["tokens"], np.float16).reshape(num_tokens, -1)
    return SubjectState(_take(Subject, row), **row)
