"""Rows of a Lance file that was handed over.

Whatever compression its pages name is undone by Lance, without a bound: 60 kB may hold gigabytes. So a process of its
own reads it, with a bound on its memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from toffee_pipeline.errors import BrokenFile, DataError
from toffee_pipeline.printable import printable
from toffee_pipeline.train.data.sources import lance_child

MAX_MEMORY_BYTES = 2 * 2**30
"""Of that process, on top of what the libraries take."""
MAX_MESSAGE_BYTES = 1000


def lance_rows(path: Path, name: str, images: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows with these columns, one in memory at once.

    Args:
        name: what errors call the file.
        images: columns of bytes.

    Raises DataError where Lance is not installed, and BrokenFile.
    """
    if find_spec("lance") is None:
        raise DataError("an export in Lance needs a package: pip install -e '.[export]'")
    command = [sys.executable, "-P", lance_child.__file__, str(path), str(MAX_MEMORY_BYTES), *images, *texts]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        problem = ""
        try:
            yield from _rows(process.stdout, name, images)
        except (pa.ArrowException, OSError) as error:
            problem = str(error)
        process.stdout.close()
        if process.wait() < 0:
            problem = f"damaged, or more than {MAX_MEMORY_BYTES >> 20} MiB in memory"
        elif process.returncode > 0:  # it says more than the stream that it broke off
            problem = _last_line(said) or problem
        if problem or process.returncode:
            raise BrokenFile(f"{name}: not a sound Lance file: {printable(problem)}")


def _rows(stream: IO[bytes], name: str, images: Sequence[str]) -> Iterator[dict[str, Any]]:
    reader = pa.ipc.open_stream(stream)
    for column in images:
        if (found := reader.schema.field(column).type) not in (pa.binary(), pa.large_binary()):
            raise BrokenFile(f"{name}: column {column} holds {found} and no bytes")
    for batch in reader:
        yield from batch.to_pylist()


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, 2) - MAX_MESSAGE_BYTES))
    lines = file.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")
