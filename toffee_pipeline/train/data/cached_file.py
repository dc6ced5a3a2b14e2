"""The Arrow file that a cache holds for each file of a source: its columns, and how one of a stranger is read."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from toffee_pipeline.errors import BrokenFile, ImageError
from toffee_pipeline.parquet_file.arrow_message import may_be_compressed

TEXTS = ("key", "text", "class_name", "kind", "name", "error", "broken_file")
_BYTES = ("mask", "depth", "latents", "tokens")
SHAPES = ("latents_shape", "tokens_shape")
SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in TEXTS]
    + [pa.field(name, pa.binary()) for name in _BYTES]
    + [pa.field(name, pa.list_(pa.int32())) for name in SHAPES]
    + [pa.field("side_px", pa.int32()), pa.field("too_small", pa.bool_())]
)
"""One row per image; the rows of a record follow each other. latents and tokens: float16 in C order. side_px: of the
central square, before it was resized. too_small: whether that is why there is an `error`. broken_file: why the source's
file could not be read to its end, in a last row of its own."""
DIMENSIONS = {"latents": 3, "tokens": 2}
MAX_FILE_BYTES = 64 * 2**30
"""Of the file of a source, with so many images as a tar of a few gigabytes has."""
MAX_BATCH_ROWS = 2**16
MAX_TEXT_BYTES = 64 * 2**20
"""Of the texts and shapes of a batch, which are read whole."""
MAX_ARRAY_BYTES = 16 * 2**20
"""Of the latents or the tokens of an image; the largest DINO's at 518 px take 4 MiB."""
MAGIC, FIRST_MESSAGE = b"ARROW1", 8
"""What an Arrow file begins and ends with, and where its messages begin."""
_DAMAGED = (pa.ArrowException, OSError, StopIteration, struct.error)


def read_batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """The batches of the file at `path`, mapped into memory: only what is looked at is read, also once it is deleted.

    name: of the file. Raises BrokenFile where it is none that a cache wrote.
    """
    try:
        if path.stat().st_size < FIRST_MESSAGE:  # an empty file cannot be mapped
            raise pa.ArrowInvalid("no Arrow file")
        with pa.memory_map(str(path)) as file:
            whole = file.read(len(MAGIC)) == MAGIC
            file.seek(-len(MAGIC), 2)
            if not whole or file.read() != MAGIC:
                raise pa.ArrowInvalid("no Arrow file, or one that was cut short")
            file.seek(FIRST_MESSAGE)  # message by message, so that each is looked at before its batch is made
            messages = pa.ipc.MessageReader.open_stream(file)
            if not pa.ipc.read_schema(messages.read_next_message()).equals(SCHEMA):
                raise pa.ArrowInvalid("other columns than a cache has")
            for message in iter(messages.read_next_message, None):
                if message.type != "record batch" or may_be_compressed(message):
                    raise pa.ArrowInvalid("a message that no cache writes")
                batch = pa.ipc.read_record_batch(message, SCHEMA)
                _check(batch)
                yield batch
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, not the file's
            raise
        why = " ".join(str(error).split()) or "it ends too soon"
        raise BrokenFile(f"{name}: no sound file of a cache: {why}; delete it to have it made again") from error


def _check(batch: pa.RecordBatch) -> None:
    batch.validate(full=True)
    if batch.num_rows > MAX_BATCH_ROWS or batch.select([*TEXTS, *SHAPES]).nbytes > MAX_TEXT_BYTES:
        raise pa.ArrowInvalid("more rows or text than a cache writes")


def array_of(batch: pa.RecordBatch, index: int, name: str) -> np.ndarray:
    """The latents (c, h, w) or tokens (1 + n, c) of a row: float16, in the batch's memory.

    Raises ImageError where their bytes do not fit their shape.
    """
    value, shape = batch[name][index], batch[f"{name}_shape"][index].as_py()
    if not value.is_valid or not _fits(shape, DIMENSIONS[name], value.as_buffer().size):
        raise ImageError(f"{batch['key'][index].as_py()}: its cached {name} do not fit their shape")
    return np.frombuffer(value.as_buffer(), np.float16).reshape(shape)


def _fits(shape: Sequence[Any] | None, num_dimensions: int, num_bytes: int) -> bool:
    if shape is None or len(shape) != num_dimensions or not all(shape) or min(shape) < 1:
        return False
    return 2 * math.prod(shape) == num_bytes <= MAX_ARRAY_BYTES
