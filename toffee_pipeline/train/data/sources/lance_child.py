"""Reads a Lance file in a process of its own: `lance_child.py FILE MAX_MEMORY_BYTES COLUMN ...` writes the rows to
stdout as an Arrow stream, each in a batch of its own. Is run as a file, so that nothing of this package is imported."""

from __future__ import annotations

import os
import resource
import sys
from importlib import import_module

import pyarrow as pa

MAX_ROW_BYTES = 512 * 2**20
ROWS_AT_ONCE = 4
"""Whose bytes Lance fetches together; they are decoded one by one."""


def write_rows(path: str, max_memory_bytes: int, columns: list[str]) -> None:
    """max_memory_bytes: on top of what the libraries take.

    Raises OSError, ValueError, LookupError or pa.ArrowException for a file that cannot be read.
    """
    os.environ.update(LANCE_CPU_THREADS="2", TOKIO_WORKER_THREADS="2")  # a machine's many would need memory too
    lance_file = import_module("lance.file")
    _bound_memory(max_memory_bytes)
    reader = lance_file.LanceFileReader(path, columns=columns)
    found, num_rows = reader.metadata().schema, reader.num_rows()
    schema = pa.schema([pa.field(name, found.field(name).type) for name in columns])
    with pa.ipc.new_stream(sys.stdout.buffer, schema) as stream:
        for start in range(0, num_rows, ROWS_AT_ONCE):
            rows = reader.read_range(start, min(ROWS_AT_ONCE, num_rows - start), batch_size=1, batch_readahead=1)
            for batch in rows.to_batches():
                if batch.nbytes > MAX_ROW_BYTES:
                    raise ValueError(f"a row of more than {MAX_ROW_BYTES} bytes")
                stream.write_table(pa.Table.from_batches([batch]).select(columns).cast(schema))


def _bound_memory(num_bytes: int) -> None:
    """More is refused by the system: Lance then aborts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            in_use = int(file.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (in_use + num_bytes,) * 2)


if __name__ == "__main__":
    try:
        write_rows(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        sys.exit(" ".join(str(error).split()))
