"""Lists of what a run was given, as they lie with the run: gzipped, a line of JSON for each row."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Annotated, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError

from toffee_pipeline.errors import PlanError

MAX_LIST_BYTES = 256 * 2**20
"""Unpacked; of a million images some 120 MB."""
MIN_ROW_BYTES = 100
"""That a line counts: what is made of it takes memory too."""


def stays_below(path: str) -> str:
    """The path, which is relative to a folder. Raises ValueError where it leads out of that."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of its folder")
    return path


PathBelow = Annotated[str, AfterValidator(stays_below)]
"""Relative to a folder, with "/"."""
R = TypeVar("R")


def read_list(data: bytes, name: str, row: TypeAdapter[R]) -> list[R]:
    """The rows. name: what errors call the file. Raises PlanError where it is damaged, or larger than it may be."""
    rows, left = [], MAX_LIST_BYTES
    try:
        with gzip.open(io.BytesIO(data)) as file:
            while line := file.readline(left + 1):
                left -= max(len(line), MIN_ROW_BYTES)
                if left < 0:
                    raise ValueError(f"more than {MAX_LIST_BYTES} bytes")
                rows.append(row.validate_json(line, strict=True))
        if not rows:  # a run of nothing does not begin
            raise ValueError("no rows")
        return rows
    except ValidationError as error:
        raise PlanError(f"{name}: damaged: {' '.join(error.errors()[0]['msg'].split())}") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise PlanError(f"{name}: damaged: {error!r}") from error
